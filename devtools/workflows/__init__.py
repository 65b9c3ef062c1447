"""The shipped workflows and blueprints, defined once and written in both forms.

    python dev.py bench workflows        # writes workflows/*.json, workflows/api/*.json and subgraphs/*.json

A host test compares the files with these definitions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..api_form import api_json
from ..canvas import blueprint_json, canvas_json
from ..graph import Link, Node, Workflow
from ..server import object_info
from .any_editor import any_editor_workflow
from .blueprints import blueprints
from .directedit import directedit_workflows
from .early_filter import early_filter_workflow
from .edit import edit_workflow
from .judges import host_judge, person_judge, server_judge
from .keep_turns import keep_turns_workflow
from .keep_unedited import keep_workflows
from .models import MOE_LORA, NORMAL_LORA, demo_loaders, flux_loaders
from .multi_turn import multi_turn_workflow
from .only_changes import DEMO_STEPS, only_changes_workflows
from .only_changes_best import only_changes_best_workflows
from .text_to_image import text_to_image_workflows
from .x2edit import x2edit_workflows

__all__ = [
    "INSTRUCTION",
    "MOE_LORA",
    "NORMAL_LORA",
    "blueprints",
    "definitions",
    "demo_turns",
    "main",
    "node_ids",
    "render",
]

ROOT = Path(__file__).resolve().parents[2]
INSTRUCTION = "make her hair dark green"
DEMO_SCENE = {"seed": 1000048, "task": "recolour", "size": 256}
DEMO_INSTRUCTION = "change the color of the pink heart to red"
DEMO_COLOUR = 0xFF80C2  # of the heart in that scene, and of nothing else in it
STYLE_SCENE, STYLE_INSTRUCTION = {"seed": 9, "task": "style", "size": 256}, "make it a negative"
SWAP_SCENE = {"seed": 3, "task": "swap", "size": 256}
HARD_SCENE = {"seed": 5, "task": "style", "size": 256}  # its seeds differ to the eye
REPAIR = "repair the hand, five natural fingers"
RELIGHT = "relight the scene with warm evening light from the left"
TURNS = (INSTRUCTION, "give her a red scarf", "change the background to a beach")
TURNS_SCENE = {"seed": 1000050, "task": "recolour", "size": 256}
DEMO_TURNS = ("color the green circle orange", "remove the pink square", "add a cyan triangle to the bottom left")


def _note(name: str) -> str:
    """The text of a note; files that several notes name, and the demo's width, are taken in at `@`.

    Names are bold in notes: the front end's Nodes 2.0 shows code in a colour that cannot be read on a note.
    """
    notes = ROOT / "devtools" / "notes"
    text = (notes / f"{name}.md").read_text(encoding="utf-8")
    for part in ("fill_files", "x2edit_files"):
        text = text.replace(f"@{part}\n", (notes / f"{part}.md").read_text(encoding="utf-8"))
    return text.replace("@panel", str(_demo_config()["panel"]))


def _demo_config() -> dict[str, Any]:
    file = ROOT / "demo" / "weights" / "config.json"
    return dict(json.loads(file.read_text(encoding="utf-8")))


def definitions() -> dict[str, Workflow]:
    """File name -> workflow."""
    any_editor = {"best_of_any_editor": any_editor_workflow(host_judge, _note("any_editor"))}
    keep_turns = {"keep_multi_turn": keep_turns_workflow(_note("keep_multi_turn"))}
    others = any_editor | keep_workflows(_note) | keep_turns | x2edit_workflows(_note)
    changes = only_changes_workflows(_note, _changes_demo())
    changes |= only_changes_best_workflows(_note, _changes_best_demo())
    panel = _demo_config()["panel"]
    inverted = directedit_workflows(_note, DEMO_SCENE, panel)
    inverted |= text_to_image_workflows(_note, INSTRUCTION, DEMO_SCENE, panel)
    return _edits() | _turns() | _filters() | others | changes | inverted


def _demo() -> dict[str, Any]:
    """What the demo's workflows share."""
    config = _demo_config()
    return {
        "loaders": demo_loaders(),
        "model": Link("lora"),
        "clip": Link("demo", 1),
        "vae": Link("demo", 2),
        "width": config["panel"],
        "steps": config["steps"],
        "seed": 0,
    }


def _changes_demo() -> dict[str, Any]:
    """The demo's edit with more steps, of which most compute only what changes."""
    return _demo() | {
        "steps": DEMO_STEPS,
        "image": Node("ICEditDemoScene", DEMO_SCENE),
        "instruction": DEMO_INSTRUCTION,
        "prefix": "ICEdit/demo_changes",
    }


def _changes_best_demo() -> dict[str, Any]:
    """A local edit whose seeds differ, by the scene's own words."""
    scene = {"image": Node("ICEditDemoScene", SWAP_SCENE), "instruction": Link("image", 1)}
    return _changes_demo() | scene | {"prefix": "ICEdit/demo_changes_best"}


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
        "icedit_around_mask_demo": edit_workflow(
            **_demo(),
            image=Node("ICEditDemoScene", DEMO_SCENE),
            beside=_demo_mask(),
            instruction=DEMO_INSTRUCTION,
            note=_note("around_mask_demo"),
            prefix="ICEdit/demo_around_mask",
            fit="around_mask",
            context=0.6,  # at 0.25 the heart fills the panel, as no thing does in a scene, and the edit fails
            mask=Link("mask"),
        ),
        "icedit_whole_picture_demo": edit_workflow(
            **_demo(),
            image=Node("ICEditDemoScene", STYLE_SCENE),
            instruction=STYLE_INSTRUCTION,
            note=_note("whole_picture_demo"),
            prefix="ICEdit/demo_whole_picture",
            restore={"keep_unedited": "off"},
        ),
        "icedit_flux_fill": _flux_edit(MOE_LORA, "flux_fill", "ICEdit/edit"),
        "icedit_normal_lora": _flux_edit(NORMAL_LORA, "normal_lora", "ICEdit/normal_lora"),
        "icedit_training_free": _flux_edit(None, "training_free", "ICEdit/training_free"),
        "icedit_around_mask": _flux_edit(
            MOE_LORA,
            "around_mask",
            "ICEdit/around_mask",
            REPAIR,
            restore={"feather": 8},
            fit="around_mask",
            mask=Link("image", 1),
        ),
        "icedit_whole_picture": _flux_edit(
            MOE_LORA, "whole_picture", "ICEdit/whole_picture", RELIGHT, restore={"keep_unedited": "off"}
        ),
    }


def _flux_edit(lora: str | None, note: str, prefix: str, words: str = INSTRUCTION, **settings: Any) -> Workflow:
    return edit_workflow(**_flux(lora), instruction=words, note=_note(note), prefix=prefix, **settings)


def _turns() -> dict[str, Workflow]:
    note, prefix = _note("multi_turn"), "ICEdit/turns"
    return {
        "icedit_multi_turn": multi_turn_workflow(**_flux(), turns=TURNS, note=note, prefix=prefix),
        "icedit_multi_turn_demo": demo_turns(DEMO_TURNS),
    }


def _demo_mask() -> dict[str, Node]:
    """The thing of that colour in the demo's scene, and a few px around it, as a mask."""
    return {
        "part": Node("ImageColorToMask", {"image": Link("image"), "color": DEMO_COLOUR}, title="The part"),
        "mask": Node("GrowMask", {"mask": Link("part"), "expand": 4, "tapered_corners": True}, title="Mask"),
    }


def demo_turns(turns: Sequence[str]) -> Workflow:
    """Edits of the demo's scene one after the other, by these words."""
    scene = {"image": Node("ICEditDemoScene", TURNS_SCENE)}
    note, prefix = _note("multi_turn_demo"), "ICEdit/demo_turns"
    return multi_turn_workflow(**_demo() | scene, turns=turns, note=note, prefix=prefix)


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
    """Path below the pack -> text: every workflow in both forms, and the blueprints."""
    files = {}
    for name, workflow in definitions().items():
        files[Path("workflows") / f"{name}.json"] = canvas_json(workflow, info)
        files[Path("workflows/api") / f"{name}.json"] = api_json(workflow, info)
    for box in blueprints(INSTRUCTION):
        files[Path("subgraphs") / f"{box.name}.json"] = blueprint_json(box, info)
    return files


def main() -> None:
    """Ask a host for its nodes and write the files."""
    for path, text in render(object_info(ROOT)).items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8")
