"""MagicBrush: every turn edited on its own, compared with the picture that a person made.

Columns: img_id, turn_index, source_img, mask_img, instruction, target_img. Of several turns each starts from its own
source_img ("all turns, independently"); magicbrush_turns.py has them edited one after the other.
Source: OSU-NLP-Group/MagicBrush, evaluation/image_eval.py.
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

ICEDIT = {"l1": 0.060, "clip_i": 0.928, "dino": 0.853}
ABOUT = About(
    "magicbrush",
    "All turns, each edited on its own from its source_img. The edit is brought to the target's size (bicubic) for L1 "
    "and L2; CLIP-I (published with ViT-B/32) and DINO (ViT-S/16) are cosines between edit and target. "
    "Source: OSU-NLP-Group/MagicBrush, evaluation/image_eval.py.",
    ("pixels", "clip", "dino", "quality", "unedited"),
    against="target",
    published=(("ICEdit, one seed, no early filter", ICEDIT, "arXiv 2504.20690"),),
)


def read(data: Path, choice: Choice) -> Iterator[Item | BrokenRow]:
    return tables.items(data, ("source_img", "instruction", "target_img"), ("img_id", "turn_index", "mask_img"), item)


def item(key: str, values: dict[str, Any]) -> Item:
    """One turn.

    Raises:
        BrokenRow: its words or pictures cannot be read.
    """
    if values.get("img_id") is not None and values.get("turn_index") is not None:
        key = f"{values['img_id']}-{values['turn_index']}"
    told = words(key, values["instruction"])
    source, target = (
        decode(key, name, picture_bytes(key, name, values[f"{name}_img"])) for name in ("source", "target")
    )
    return Item(key, source, told, f"turn {values.get('turn_index', '?')}", target)
