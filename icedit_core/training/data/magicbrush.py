"""MagicBrush (osunlp/MagicBrush): img_id, turn_index, source_img, mask_img, instruction, target_img.

Its edited pictures end in a band of noise, so the published training cuts the lowest 1/32 of the pixel rows off both.
The masks are not used. Source: River-Zhang/ICEdit, train/src/train/data.py.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from .images import decode
from .rows import Row, checked_row, checked_words, hash_of
from .tables import Table, picture_bytes

CUT = 32


class MagicBrushRows:
    """The rows of local shards; keys are `img_id-turn_index`.

    Raises:
        ValueError: nothing readable at the path.
    """

    def __init__(self, path: Path):
        self._table = Table(path, ("source_img", "instruction", "target_img"), ("img_id", "turn_index"))

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> Row:
        values = self._table[index]
        key = self._table.key(index)
        if values.get("img_id") is not None and values.get("turn_index") is not None:
            key = f"{values['img_id']}-{values['turn_index']}"
        checked_words(key, values["instruction"])
        source = _picture(key, "source", values["source_img"])
        return checked_row(key, source, _picture(key, "target", values["target_img"]), values["instruction"])

    def fingerprint(self) -> str:
        return hash_of("magicbrush", str(CUT), self._table.fingerprint())


def _picture(key: str, name: str, value: object) -> Image.Image:
    image = decode(key, name, picture_bytes(key, name, value))
    return image.crop((0, 0, image.width, image.height - image.height // CUT))
