"""Pictures with words below them, laid out in rows on one sheet. Needs Pillow alone."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import Image, ImageDraw, ImageFont

TILE = 256  # px, the longer side of a picture on the sheet
LINE = 16  # px
LINES = 4
COLUMNS = 4
LONGEST_WORD = 100  # characters; far more than a line has room for
INK, PAPER = "#202020", "#f4f4f4"


def lay_out(
    entries: Iterable[tuple[Image.Image, str]], count: int, columns: int = COLUMNS, width: int = TILE
) -> Image.Image:
    """Lay pictures out in rows with a caption below each; they are taken one by one.

    Args:
        entries: RGB pictures of any sizes with their captions, which are cut at the end of the fourth line.
        count: how many there are.
        width: px, of a tile; its height is TILE.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    wide, high = width + 16, TILE + 16 + LINES * LINE
    canvas = Image.new("RGB", (columns * wide, rows * high), PAPER)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=13)
    for index, (picture, caption) in enumerate(entries):
        left, top = index % columns * wide + 8, index // columns * high + 8
        small = fitted(picture, width, TILE)
        canvas.paste(small, (left + (width - small.width) // 2, top + (TILE - small.height) // 2))
        for number, line in enumerate(_lines(caption, font, width)):
            pen.text((left, top + TILE + 2 + number * LINE), line, fill=INK, font=font)
    return canvas


def fitted(image: Image.Image, width: int, height: int) -> Image.Image:
    """The picture as large as it fits; small ones are enlarged by whole pixels in look."""
    scale = min(width / image.width, height / image.height)
    way = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), way)


def _lines(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """The first `LINES` lines of a text; what follows is not looked at."""
    lines = [""]
    for word in text[: LINES * width].split():  # letters are wider than a pixel
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            if len(lines) == LINES:
                break
            lines.append(word[:LONGEST_WORD])
    return lines
