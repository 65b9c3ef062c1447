"""Pictures with words below them, in one sheet."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .pixels import eight_bit

TILE = 256  # px, the longer side of a picture on the sheet
LINE = 16  # px
LINES = 4
COLUMNS = 4
LONGEST_WORD = 100  # characters; far more than a line has room for
INK, PAPER = "#202020", "#f4f4f4"


def sheet(pictures: list[Tensor], captions: list[str], columns: int = COLUMNS) -> Tensor:
    """Lay pictures out in rows with a caption below each.

    Args:
        pictures: (H, W, 3 or more) in [0, 1], any sizes.
        captions: one each; longer ones are cut at the end of the fourth line.
    Returns:
        (1, H, W, 3) float32 in [0, 1].
    """
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    width, height = TILE + 16, TILE + 16 + LINES * LINE
    canvas = Image.new("RGB", (columns * width, rows * height), PAPER)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=13)
    for index, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, top = index % columns * width + 8, index // columns * height + 8
        tile = _tile(picture)
        canvas.paste(tile, (left + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2))
        for number, line in enumerate(_lines(caption, font)):
            pen.text((left, top + TILE + 2 + number * LINE), line, fill=INK, font=font)
    return torch.from_numpy(np.asarray(canvas, dtype=np.float32) / 255)[None]


def _tile(picture: Tensor) -> Image.Image:
    image = Image.fromarray(eight_bit(picture).numpy())
    scale = TILE / max(image.size)
    way = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), way)


def _lines(text: str, font) -> list[str]:
    """The first `LINES` lines of a text; what follows is not looked at."""
    lines = [""]
    for word in text[: LINES * TILE].split():  # letters are wider than a pixel
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= TILE:
            lines[-1] = longer
        else:
            if len(lines) == LINES:
                break
            lines.append(word[:LONGEST_WORD])
    return lines
