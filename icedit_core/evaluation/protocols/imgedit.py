"""ImgEdit-Bench, basic edits: basic_edit.json and the pictures that it names.

{key: {id, prompt, edit_type}}; `id` is a path below the folder, or below `singleturn` in it. Published scores are a
judge's, asked in words of its own for each edit_type. Source: PKU-YuanGroup/ImgEdit, Benchmark.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...training.data.rows import BrokenRow
from ..items import About, Choice, Item, json_list, picture, words

LIST = "basic_edit.json"
ABOUT = About(
    "imgedit",
    "The edit is brought to the source's size. The published scores are a judge's, judge_overall with --judge and a "
    "question file for each edit_type; the mean over the tasks' means is shown. "
    "Source: PKU-YuanGroup/ImgEdit, Benchmark.",
    ("pixels", "clip", "dino", "quality", "unedited"),
    mean="tasks",
)


def read(data: Path, choice: Choice) -> Iterator[Item | BrokenRow]:
    rows = json_list(data / LIST)
    root = data / "singleturn" if (data / "singleturn").is_dir() else data
    for key, row in rows.items():
        try:
            if not isinstance(row, dict):
                raise BrokenRow(key, f"it is {row!r}, but an object with id, prompt and edit_type is needed")
            told = words(key, row.get("prompt"), "prompt")
            yield Item(key, picture(key, "picture", root, row.get("id")), told, str(row.get("edit_type") or ""))
        except BrokenRow as problem:
            yield problem
