"""GEdit-Bench: real users' instructions in 11 tasks, in English and in Chinese.

Columns: task_type, key, instruction, instruction_language, input_image, input_image_raw, Intersection_exist. The source
is input_image_raw. Published scores are a judge's (VIEScore). Source: stepfun-ai/Step1X-Edit.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...training.data.images import decode
from ...training.data.rows import BrokenRow
from ...training.data.tables import picture_bytes
from ..items import About, Choice, Item, words
from . import tables

ABOUT = About(
    "gedit",
    "Rows of one language. The edit is brought to the source's size. The published scores are a judge's (VIEScore), "
    "judge_overall with --judge; the mean over the tasks' means is the published way. "
    "Source: stepfun-ai/Step1X-Edit, GEdit-Bench.",
    ("pixels", "clip", "dino", "quality", "unedited"),
    mean="tasks",
)


def read(data: Path, choice: Choice) -> Iterator[Item | BrokenRow]:
    def item(key: str, values: dict[str, Any]) -> Item | None:
        if values["instruction_language"] != choice.language:
            return None
        task = words(key, values["task_type"], "task_type")
        key = f"{task}/{choice.language}/{values['key']}"
        raw = values.get("input_image_raw") or values.get("input_image")
        source = decode(key, "input_image", picture_bytes(key, "input_image", raw))
        return Item(key, source, words(key, values["instruction"]), task)

    needed = ("task_type", "key", "instruction", "instruction_language")
    return tables.items(data, needed, ("input_image_raw", "input_image"), item)
