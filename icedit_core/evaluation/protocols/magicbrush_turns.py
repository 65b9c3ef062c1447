"""MagicBrush, the turns of a session one after the other: each edits the result of the turn before it.

Columns as in magicbrush.py. The first turn starts from its source_img; the last one is what the published figures of
this scenario compare ("final turn", the "iter" pictures). Source: OSU-NLP-Group/MagicBrush, evaluation/image_eval.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...training.data.rows import BrokenRow
from ..items import About, Choice, Item
from . import magicbrush, tables

ABOUT = About(
    "magicbrush_turns",
    "The turns of a session one after the other: the first edits its source_img, each other one the result of the turn "
    "before it. Every result is brought to the size of its turn's target (bicubic) and compared with that; the values "
    "of the last turns alone, the published final turn, are those that end in _final. The unedited part is told from "
    "the picture that the turn really edited. Source: OSU-NLP-Group/MagicBrush, evaluation/image_eval.py.",
    ("pixels", "clip", "dino", "quality", "unedited"),
    against="target",
)


def read(data: Path, choice: Choice) -> Iterator[Item | BrokenRow]:
    turns = _turns(data)

    def item(key: str, values: dict[str, Any]) -> Item:
        session, turn = str(values["img_id"]), values["turn_index"]
        made = magicbrush.item(key, values)
        every = turns[session]
        if every != list(range(1, len(every) + 1)):
            raise BrokenRow(made.key, f"its session has the turns {every}, but 1, 2, ... in this order are needed")
        made.after, made.last = f"{session}-{turn - 1}" if turn > 1 else "", turn == len(every)
        made.task = f"turn {turn} of {len(every)}"
        return made

    needed = ("source_img", "instruction", "target_img", "img_id", "turn_index")
    return tables.items(data, needed, ("mask_img",), item)


def _turns(data: Path) -> dict[str, list[int]]:
    """Session -> its turns in the data set's order; rows that cannot be read, or come again, are left out."""
    found: dict[str, list[int]] = defaultdict(list)
    for values in tables.rows(data, ("img_id", "turn_index")):
        if values["turn_index"] not in found[str(values["img_id"])]:
            found[str(values["img_id"])].append(values["turn_index"])
    return found
