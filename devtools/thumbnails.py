"""The pictures on the templates' cards, 512 x 288 px: what each template does, from real runs of the demo model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from .compare import INK, PAPER

SIZE, HALF = (512, 288), 256  # px of a card's picture, and of one of the two pictures on it
EDGE, CHOSEN = (255, 0, 200), (0, 170, 60)  # of what an edit changed or may change; around what a judge picked
GAP, FRAME = 4, 4  # px, between candidates and around the picked one
DIM = 0.35  # brightness of what lies outside that box


class Run(NamedTuple):
    """Pictures of one edit, RGB; `mask` (grey) is white where it changed, or may change, something."""

    before: Image.Image
    after: Image.Image
    instruction: str
    mask: Image.Image | None = None


def beside(run: Run) -> Image.Image:
    """Before | after."""
    return _halves(run.before, run.after)


def outlined(run: Run) -> Image.Image:
    """Before | after with the edge of the change: outside of it the pixels are the source's."""
    return _halves(run.before, _edged(run.after, run.mask))


def around(run: Run, context: float) -> Image.Image:
    """Before with the mask's edge, dark outside of the box that goes to the model | after.

    Args:
        context: what the box takes on each side of the mask, of the mask's longer side.
    """
    left, top, right, bottom = run.mask.getbbox()
    room = context * max(right - left, bottom - top)
    box = [max(0, round(left - room)), max(0, round(top - room)), round(right + room), round(bottom + room)]
    dark = ImageEnhance.Brightness(run.before).enhance(DIM)
    dark.paste(run.before.crop(box), box[:2])
    return _halves(_edged(dark, run.mask), run.after)


def picked(candidates: Sequence[Image.Image], index: int, after: Image.Image) -> Image.Image:
    """All candidates, the picked one framed | it alone, finished."""
    columns = 2 if len(candidates) <= 4 else 3
    rows = -(-len(candidates) // columns)
    side = (HALF - GAP) // columns - GAP
    sheet = Image.new("RGB", (HALF, HALF), PAPER)
    pen = ImageDraw.Draw(sheet)
    top = (HALF - rows * (side + GAP)) // 2
    for number, candidate in enumerate(candidates):
        x, y = GAP + number % columns * (side + GAP), top + number // columns * (side + GAP)
        sheet.paste(candidate.resize((side, side)), (x, y))
        if number == index:
            pen.rectangle((x - GAP, y - GAP, x + side + GAP - 1, y + side + GAP - 1), outline=CHOSEN, width=FRAME)
    return _halves(sheet, after)


def nearest(pictures: Sequence[Image.Image], target: Image.Image) -> int:
    """The number of the picture with the least squared error: what a judge that errs in nothing picks."""
    wanted = np.asarray(target, np.float64)
    errors = [float(np.square(np.asarray(one.resize(target.size), np.float64) - wanted).mean()) for one in pictures]
    return int(np.argmin(errors))


def labelled(picture: Image.Image, label: str) -> Image.Image:
    """With who made it below."""
    ImageDraw.Draw(picture).text((8, 263), label, INK, ImageFont.load_default(16))
    return picture


def _halves(left: Image.Image, right: Image.Image) -> Image.Image:
    picture = Image.new("RGB", SIZE, PAPER)
    for place, half in enumerate((left, right)):
        picture.paste(half.resize((HALF, HALF)), (HALF * place, 0))
    return picture


def _edged(picture: Image.Image, mask: Image.Image) -> Image.Image:
    mask = mask.convert("L").point(lambda value: 255 * (value > 0))
    edge = ImageChops.subtract(mask.filter(ImageFilter.MaxFilter(7)), mask)
    out = picture.copy()
    out.paste(EDGE, (0, 0), edge)
    return out
