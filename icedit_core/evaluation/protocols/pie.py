"""PIE-Bench: 700 pictures with captions before and after, and a mask of what may change.

mapping_file.json {key: {image_path, original_prompt, editing_prompt, editing_instruction, editing_type_id, mask}} and
annotation_images/. The mask is a list of start and length in turn, over the rows of 512x512 px, its border always 1;
brackets in the captions mark words and are dropped. Source: cure-lab/PnPInversion, evaluation/evaluate.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from ... import foreign
from ...training.data.rows import BrokenRow
from ..items import About, Choice, Item, json_list, picture, words

if TYPE_CHECKING:
    import numpy as np

LIST, PICTURES, SIDE = "mapping_file.json", "annotation_images", 512
TYPES = (
    "random", "change object", "add object", "delete object", "change attribute content", "change attribute pose",
    "change attribute colour", "change attribute material", "change background", "change style",
)  # fmt: skip
ABOUT = About(
    "pie",
    "A result that is no square is cut to its right lower 512x512 px. PSNR, SSIM, MSE and LPIPS (published with "
    "squeeze) on the unedited part: both pictures are multiplied by 1 - mask and compared whole, so more black gives "
    "better figures. CLIP is torchmetrics' score (100 cos, published with ViT-L/14) of edit and editing_prompt, whole "
    "and multiplied by the mask. Structure distance: mean squared difference of the self-similarities of DINO's last "
    "keys (published with ViT-B/8), of pixels from 0 to 255. Source: cure-lab/PnPInversion, evaluation.",
    ("masked", "clip_score", "structure", "unedited"),
    right_square=True,
)


def read(data: Path, choice: Choice) -> Iterator[Item | BrokenRow]:
    for key, row in json_list(data / LIST).items():
        try:
            yield _item(key, row, data / PICTURES)
        except BrokenRow as problem:
            yield problem


def _item(key: str, row: object, root: Path) -> Item:
    if not isinstance(row, dict):
        raise BrokenRow(key, f"it is {foreign.line(row)}, but an object is needed")
    told = words(key, row.get("editing_instruction"), "editing_instruction")
    before, after = (bare(words(key, row.get(name), name)) for name in ("original_prompt", "editing_prompt"))
    source = picture(key, "picture", root, row.get("image_path"))
    if source.size != (SIDE, SIDE):
        raise BrokenRow(key, f"the picture is {source.width}x{source.height} px, but the masks are of {SIDE}x{SIDE} px")
    kind = str(row.get("editing_type_id"))
    task = f"{kind} {TYPES[int(kind)]}" if kind.isdigit() and int(kind) < len(TYPES) else foreign.line(kind)
    mask = Image.fromarray(decoded(key, row.get("mask")) * 255)
    return Item(key, source, told, task, mask=mask, captions=(before, after))


def bare(prompt: str) -> str:
    """The caption without the brackets around edited words."""
    return prompt.replace("[", "").replace("]", "")


def decoded(key: str, encoded: object, side: int = SIDE) -> np.ndarray:
    """The mask (side, side) uint8 of 0 and 1; runs are cut at its end, and the border is 1.

    Raises:
        BrokenRow: it is no list of pairs of whole numbers inside the picture.
    """
    import numpy as np

    pairs = isinstance(encoded, list) and len(encoded) % 2 == 0
    if not pairs or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in encoded):  # type: ignore
        raise BrokenRow(key, f"the mask is {foreign.line(encoded, 60)}, but pairs of start and length are needed")
    flat = np.zeros(side * side, dtype=np.uint8)
    for start, length in zip(encoded[::2], encoded[1::2], strict=True):  # type: ignore[index]
        if start >= len(flat):
            raise BrokenRow(key, f"the mask has a run at {start}, but the picture has {len(flat)} pixels")
        flat[start : start + length] = 1
    mask = flat.reshape(side, side)
    mask[[0, -1], :] = 1
    mask[:, [0, -1]] = 1
    return mask
