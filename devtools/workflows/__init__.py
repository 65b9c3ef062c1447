"""The shipped workflows, defined once and written in both forms.

    python dev.py bench workflows        # writes workflows/*.json and workflows/api/*.json

A host test compares the files with these definitions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..canvas import Link, Node, Workflow, api_json, canvas_json
from ..server import object_info
from .any_editor import any_editor_workflow
from .early_filter import early_filter_workflow
from .edit import edit_workflow
from .judges import host_judge, person_judge, server_judge
from .models import DEMO_LORA, MOE_LORA, NORMAL_LORA, demo_loaders, flux_loaders

__all__ = ["MOE_LORA", "NORMAL_LORA", "definitions", "main", "node_ids", "render"]

ROOT = Path(__file__).resolve().parents[2]
INSTRUCTION = "make her hair dark green"
DEMO_SCENE = {"seed": 1000021, "task": "recolour", "size": 256}
DEMO_INSTRUCTION = "change the color of the red heart to yellow"
HARD_SCENE = {"seed": 10086, "task": "swap", "size": 256}  # some seeds of the demo model fail on it


def _note(name: str) -> str:
    """The text of a note; the files of FLUX Fill are written once and taken in at `@fill_files`."""
    notes = ROOT / "devtools" / "notes"
    files = (notes / "fill_files.md").read_text(encoding="utf-8").strip()
    return (notes / f"{name}.md").read_text(encoding="utf-8").replace("@fill_files", files)


def definitions() -> dict[str, Workflow]:
    """File name -> workflow."""
    return _edits() | _filters() | {"best_of_any_editor": any_editor_workflow(host_judge, _note("any_editor"))}


def _demo() -> dict[str, Any]:
    """What the demo's workflows share."""
    demo = ROOT / "demo"
    config = json.loads((demo / "weights" / "config.json").read_text(encoding="utf-8"))
    lora = DEMO_LORA if (demo / "loras" / Path(DEMO_LORA).name).is_file() else None
    return {
        "loaders": demo_loaders(lora),
        "model": Link("lora" if lora else "demo"),
        "clip": Link("demo", 1),
        "vae": Link("demo", 2),
        "width": config["panel"],
        "steps": config["steps"],
        "seed": 0,
    }


def _flux(lora: str | None = MOE_LORA) -> dict[str, Any]:
    """What FLUX Fill's workflows share."""
    return {
        "loaders": flux_loaders(lora),
        "model": Link("lora" if lora else "unet"),
        "clip": Link("clip"),
        "vae": Link("vae"),
        "image": Node("LoadImage", {"image": "example.png"}, title="Your picture"),
        "width": 512,
        "steps": 28,
        "seed": 42,
    }


def _edits() -> dict[str, Workflow]:
    return {
        "icedit_demo": edit_workflow(
            **_demo(),
            image=Node("ICEditDemoScene", DEMO_SCENE),
            instruction=DEMO_INSTRUCTION,
            note=_note("demo"),
            prefix="ICEdit/demo",
        ),
        "icedit_flux_fill": _flux_edit(MOE_LORA, "flux_fill", "ICEdit/edit"),
        "icedit_normal_lora": _flux_edit(NORMAL_LORA, "normal_lora", "ICEdit/normal_lora"),
        "icedit_training_free": _flux_edit(None, "training_free", "ICEdit/training_free"),
    }


def _flux_edit(lora: str | None, note: str, prefix: str) -> Workflow:
    return edit_workflow(**_flux(lora), instruction=INSTRUCTION, note=_note(note), prefix=prefix)


def _filters() -> dict[str, Workflow]:
    return {
        "icedit_early_filter": early_filter_workflow(
            _flux(),
            early=6,
            judge=host_judge,
            instruction=INSTRUCTION,
            note=_note("early_filter"),
            prefix="ICEdit/best",
        ),
        "icedit_early_filter_demo": early_filter_workflow(
            _demo() | {"image": Node("ICEditDemoScene", HARD_SCENE)},
            early=4,
            judge=person_judge,
            instead=server_judge(),
            instruction=Link("image", 1),
            note=_note("early_filter_demo"),
            prefix="ICEdit/demo_best",
        ),
    }


def node_ids() -> list[str]:
    """The pack's node ids, read off the source of `nodes/`."""
    sources = (path.read_text(encoding="utf-8") for path in sorted((ROOT / "nodes").glob("*.py")))
    return [name for source in sources for name in re.findall(r'node_id="(\w+)"', source)]


def render(info: Mapping[str, Any]) -> dict[Path, str]:
    """Path below `workflows/` -> text, for every workflow in both forms."""
    files = {}
    for name, workflow in definitions().items():
        files[Path(f"{name}.json")] = canvas_json(workflow, info)
        files[Path("api") / f"{name}.json"] = api_json(workflow, info)
    return files


def main() -> None:
    """Ask a host for its nodes and write the files."""
    info = object_info(ROOT)
    for path, text in render(info).items():
        target = ROOT / "workflows" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
