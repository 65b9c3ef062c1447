"""What `icedit batch` takes for a row, and what of it is broken."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from icedit_core.batch import rows

from .comfy_stand_in import picture


def folder(place: Path, *names: str) -> Path:
    for name in names:
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture())
    return place


def jsonl(place: Path, *lines: object) -> Path:
    file = place / "list.jsonl"
    file.write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines), encoding="utf-8")
    return file


def test_a_folders_pictures_take_the_words_beside_them_or_those_for_all(tmp_path: Path):
    folder(tmp_path, "b.png", "a.JPG", "c.webp")
    (tmp_path / "a.txt").write_text("make it red\n", encoding="utf-8")
    (tmp_path / "notes.md").write_text("no picture")
    found, broken = rows.read(tmp_path, "make it blue", seed=3)
    assert [(row.key, row.instruction, row.seed) for row in found] == [
        ("a.JPG", "make it red", 3),
        ("b.png", "make it blue", 3),
        ("c.webp", "make it blue", 3),
    ]
    assert broken == [] and [row.name for row in found] == ["a_JPG", "b_png", "c_webp"]
    found, broken = rows.read(tmp_path)
    assert [row.key for row in found] == ["a.JPG"]
    assert [(row.key, "words are needed" in row.reason) for row in broken] == [("b.png", True), ("c.webp", True)]


def test_a_list_has_its_own_seeds_settings_and_ids(tmp_path: Path):
    folder(tmp_path, "in/a.png", "b.png")
    file = jsonl(
        tmp_path,
        {"image": "in/a.png", "instruction": " paint it ", "seed": 5, "set": {"KSampler.steps": 2}, "task": "x"},
        "",
        {"image": "b.png", "instruction": "other", "id": 7},
    )
    found, broken = rows.read(file, seed=1)
    assert broken == []
    assert found[0] == rows.Row(
        "list.jsonl:1", "list_jsonl_1", tmp_path.resolve() / "in/a.png", "paint it", 5, (("KSampler.steps", "2"),)
    )
    assert (found[1].key, found[1].name, found[1].seed) == ("7", "7", 1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{nonsense", "is no JSON"),
        ("[1]", "is no JSON object"),
        ({"instruction": "x"}, "has no image; it has instruction"),
        ({"image": "none.png", "instruction": "x"}, "none.png is missing"),
        ({"image": "../b.png", "instruction": "x"}, "leads out of the folder"),
        ({"image": "/etc/passwd", "instruction": "x"}, "leads out of the folder"),
        ({"image": "link.png", "instruction": "x"}, "leads out of the folder"),
        ({"image": "a.png", "instruction": " "}, "words are needed"),
        ({"image": "a.png"}, "words are needed"),
        ({"image": "a.png", "instruction": "x", "seed": -1}, "seed is -1"),
        ({"image": "a.png", "instruction": "x", "seed": True}, "seed is True"),
        ({"image": "a.png", "instruction": "x", "id": "good"}, "there twice"),
        ({"image": "a.png", "instruction": "x", "id": "a\x1b[2J"}, "letters are needed"),
        ({"image": "a.png", "instruction": "x", "set": ["y"]}, "an object of NODE.INPUT"),
        ('{"image": "a.png", "instruction": "\\ud800"}', "no valid Unicode"),
        ('{"image": "a.png", "x": "' + "y" * rows.MOST_LINE + '"}', "more than"),
    ],
)
def test_a_broken_line_is_named_and_costs_no_other(tmp_path: Path, line: object, words: str):
    place = folder(tmp_path / "home", "a.png")
    if os.name != "nt":
        folder(tmp_path, "b.png")
        (place / "link.png").symlink_to(tmp_path / "b.png")
    good = {"image": "a.png", "instruction": "x", "id": "good"}
    found, broken = rows.read(jsonl(place, good, line, {**good, "id": "last"}))
    assert [row.key for row in found] == ["good", "last"]
    (bad,) = broken
    assert bad.key == "list.jsonl:2" and (words in bad.reason or (os.name == "nt" and "link" in str(line)))


def test_names_of_files_are_unique_and_harmless(tmp_path: Path):
    folder(tmp_path, "a.png")
    ids = ["x/../y", "X_.._Y", "con", ".hidden", "-", "ok"]
    found, _ = rows.read(jsonl(tmp_path, *[{"image": "a.png", "instruction": "x", "id": name} for name in ids]))
    names = [row.name for row in found]
    assert len({name.casefold() for name in names}) == len(ids)
    assert all("/" not in name and name[0] not in ".-" and name.casefold() != "con" for name in names)
    assert names[-1] == "ok"


def test_nothing_to_edit_is_said(tmp_path: Path):
    with pytest.raises(ValueError, match="has no rows"):
        rows.read(tmp_path)
    with pytest.raises(ValueError, match="no such file or folder"):
        rows.read(tmp_path / "none")
