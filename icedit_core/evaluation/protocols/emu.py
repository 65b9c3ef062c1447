"""Emu Edit's test set: the edit is compared with its source, and its caption with it.

Columns: idx, image, instruction, task, and the captions input_caption and output_caption. The public set's captions are
known to have errors. Source: facebook/emu_edit_test_set; Emu Edit, arXiv 2311.10089.
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
    "emu",
    "The edit is brought to the source's size; L1, CLIP-I and DINO are between edit and source, CLIP-T between the "
    "edit and output_caption, CLIP-dir the cosine of both changes. Source: Emu Edit, arXiv 2311.10089.",
    ("pixels", "clip", "dino", "quality", "unedited"),
    published=(
        ("ICEdit, one seed, no early filter", {"clip_i": 0.907, "dino": 0.866, "clip_t": 0.305}, "arXiv 2504.20690"),
    ),
)


def read(data: Path, choice: Choice) -> Iterator[Item | BrokenRow]:
    wanted = ("idx", "task", "input_caption", "output_caption")
    return tables.items(data, ("image", "instruction"), wanted, _item)


def _item(key: str, values: dict[str, Any]) -> Item:
    key = str(values["idx"]) if values.get("idx") is not None else key
    told = words(key, values["instruction"])
    source = decode(key, "image", picture_bytes(key, "image", values["image"]))
    before, after = values.get("input_caption"), values.get("output_caption")
    captions = (str(before).strip(), str(after).strip()) if before and after else None
    return Item(key, source, told, str(values.get("task") or ""), captions=captions)
