"""What web/js says about the templates, and their words in Chinese: whole, and those that run at once come first."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = json.loads((ROOT / "web" / "js" / "templates.json").read_text(encoding="utf-8"))
CHINESE = json.loads((ROOT / "web" / "js" / "chinese.json").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
HAN = re.compile("[\u4e00-\u9fff]")


def at_once(name: str) -> bool:
    """Whether a workflow asks for no file of a model."""
    return '"directory"' not in (ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8")


def test_every_template_has_a_name_and_a_description_in_both_languages():
    assert set(NAMES) == {file.stem for file in WORKFLOWS}
    for texts in NAMES.values():
        (title, description), (chinese_title, chinese_description) = texts["en"], texts["zh"]
        assert 10 <= len(title) <= 52 and "_" not in title and len(description) <= 120
        assert HAN.search(chinese_title) and HAN.search(chinese_description) and not HAN.search(title + description)
    assert len({texts["en"][0] for texts in NAMES.values()}) == len(NAMES)


def test_those_that_run_at_once_come_first_and_say_so():
    order = [at_once(name) for name in NAMES]
    assert order == sorted(order, reverse=True) and sum(order) >= 5
    for name, texts in NAMES.items():
        assert ("runs at once" in texts["en"][0]) == at_once(name), name
        assert texts["en"][1].startswith("Runs at once" if at_once(name) else ("Needs ", "As X2Edit")), name


def titles(graph: dict) -> set[str]:
    """Of groups and nodes, in subgraphs too."""
    found = {group["title"] for group in graph.get("groups", ())}
    found |= {node["title"] for node in graph.get("nodes", ()) if "title" in node}
    for inner in graph.get("definitions", {}).get("subgraphs", ()):
        found |= titles(inner)
    return found


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_every_title_has_its_chinese(file: Path):
    assert titles(json.loads(file.read_text(encoding="utf-8"))) - CHINESE["titles"].keys() == set()


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_every_note_has_one_chinese_part(file: Path):
    nodes = json.loads(file.read_text(encoding="utf-8"))["nodes"]
    notes = [node["widgets_values"][0] for node in nodes if node["type"] == "MarkdownNote"]
    assert notes
    for note in notes:
        english, chinese = note.split("**\u4e2d\u6587\u8bf4\u660e**")  # where web/js/chinese.js cuts it
        assert not HAN.search(english) and HAN.search(chinese)
        assert re.search("^## (.+)$", english, re.MULTILINE)[1] in CHINESE["headings"]
        shown = set(re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", chinese))
        assert not shown & CHINESE["titles"].keys(), "the Chinese page shows these titles in Chinese"
