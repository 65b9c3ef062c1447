"""What people read about the nodes, in English and Chinese: locales/ and the help pages in web/docs/.

    python dev.py bench locales       # writes locales/en and the tables of the help pages, and says what is missing

English comes from the schemas in nodes/ and is never written by hand. Chinese is written in locales/zh. A help page is
prose around lists of inputs and outputs, which are made from both. A host test compares the files with this.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..server import object_info
from .check import problems
from .pages import page, render_page
from .words import english, own

__all__ = ["ROOT", "files", "load", "main", "own", "problems"]

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("en", "zh")


def load(root: Path, language: str, name: str) -> dict[str, Any]:
    """One locale file, {} where there is none."""
    file = root / "locales" / language / name
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def files(info: Mapping[str, Any], root: Path = ROOT) -> dict[Path, str]:
    """Path below the pack -> text, for everything that is made: locales/en, and each help page with its lists.

    Args:
        info: the host's `/object_info`.
        root: the pack's folder; prose and Chinese are read from there.
    """
    nodes = own(info)
    made = {
        Path("locales/en") / name: json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        for name, content in english(nodes).items()
    }
    chinese = load(root, "zh", "nodeDefs.json")
    for node_id, node in nodes.items():
        for language, words in (("en", {}), ("zh", chinese.get(node_id, {}))):
            path = page(node_id, language)
            if (root / path).is_file():
                made[path] = render_page((root / path).read_text(encoding="utf-8"), node, words, language)
    return made


def main() -> None:
    """Ask a host for its nodes, write what is made, and end with what a person has to write."""
    info = object_info(ROOT)
    for path, text in files(info).items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8")
    missing = problems(info, ROOT)
    if missing:
        raise SystemExit("\n".join(missing))
