"""Pictures fetched from a server, nodes that show a change, and the labelled before/after picture."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from icedit_core.client import ComfyClient, ImageRef

PANEL = 384  # px; smaller pictures are enlarged to at least this width, larger ones than 1024 px are made smaller
LARGEST = 1024
MARGIN = 16
FONT_SIZE = 20
INK, PAPER = (30, 30, 30), (255, 255, 255)


def before_after(before: Image.Image, after: Image.Image, instruction: str) -> Image.Image:
    """Both pictures side by side at one height, with the words "before", "after" and the instruction.

    Args:
        before, after: RGB pictures of any size.
    Returns:
        an RGB picture; small pictures are enlarged by a whole factor without smoothing, so that one sees their pixels.
    """
    panels = [_sized(before), _sized(after)]
    height, column = max(panel.height for panel in panels), max(panel.width for panel in panels)
    font = ImageFont.load_default(FONT_SIZE)
    label = FONT_SIZE + MARGIN
    lines = _wrapped(instruction, font, 2 * column + MARGIN)
    size = (2 * column + 3 * MARGIN, MARGIN + label * len(lines) + label + height + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + i * label), line, INK, font)
    top = MARGIN + label * len(lines)
    for i, (panel, word) in enumerate(zip(panels, ("before", "after"), strict=True)):
        left = MARGIN + i * (column + MARGIN)
        draw.text((left, top), word, INK, font)
        sheet.paste(panel, (left, top + label))
    return sheet


def change_shown(number: str) -> dict[str, dict]:
    """Nodes that show as "change NUMBER", white, every pixel where the mask of this ICEditRestore is above 0."""
    edited = {"class_type": "ThresholdMask", "inputs": {"mask": [number, 1], "value": 0.0}}  # also below 1/255
    return {
        f"edited {number}": edited,
        f"mask {number}": {"class_type": "MaskToImage", "inputs": {"mask": [f"edited {number}", 0]}},
        f"change {number}": {"class_type": "PreviewImage", "inputs": {"images": [f"mask {number}", 0]}},
    }


async def fetched(client: ComfyClient, ref: ImageRef) -> Image.Image:
    """A picture that a run made, RGB."""
    return Image.open(io.BytesIO(await client.download(ref))).convert("RGB")


def _sized(picture: Image.Image) -> Image.Image:
    longest = max(picture.size)
    if longest > LARGEST:
        width, height = (max(1, side * LARGEST // longest) for side in picture.size)
        return picture.resize((width, height), Image.Resampling.LANCZOS)
    factor = -(-PANEL // picture.width) if longest <= PANEL else 1
    factor = max(1, min(factor, LARGEST // longest))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
