"""Where the working panel sits in the source: pure arithmetic on sizes, and the record that leads back."""

from fractions import Fraction
from typing import NamedTuple

from torch import Tensor

FITS = ("resize", "pad", "crop", "around_mask")
GRID = 16  # px: the autoencoder's 8 times the 2x2 patches of the transformer
WIDEST = 4096  # px: the largest working width
MOST_CONTEXT = 8.0  # times the mask's longer side
LONGEST = 4  # a panel's height is at most this many times the working width
SMALLEST_BOX = 64  # px: least side of the crop around a mask, as far as the image reaches

Size = tuple[int, int]  # (width, height) in px
Point = tuple[int, int]  # (x, y) in px


class Geometry(NamedTuple):
    """One size for the whole batch: a box of source px fills `inner` px at the top left of a panel."""

    box: Size
    inner: Size
    panel: Size


class Layout(NamedTuple):
    """Everything needed to go back: plain values and tensors, which the host's cache can count.

    image: (B, H, W, 3 or 4), the source as it came; mask: (B, H, W) in [0, 1], the allowed region, or None;
    corners: (x, y) in source px of the top left of each image's box; the sizes of `Geometry`; the fit's name;
    warning: what was said about the sources, to be repeated beside the result.
    """

    image: Tensor
    mask: Tensor | None
    corners: tuple[Point, ...]
    box: Size
    inner: Size
    panel: Size
    fit: str
    warning: str = ""

    @property
    def size(self) -> Size:
        return self.image.shape[2], self.image.shape[1]


def plan(box: Size, width: int, fit: str) -> Geometry:
    """Size the panel for a source (or, around a mask, for its box).

    Args:
        box: (width, height) of the source px to show.
        width: working width of a panel, px, a multiple of 16.
        fit: one of `FITS`.
    Returns:
        panel: both sides multiples of 16 px, width at most `width`, height at most 4 x `width`.
        inner: the part of the panel that shows the box; all of it except with `pad`.
        box: smaller than the given one only with `crop`.
    """
    w, h = box
    scale = min(Fraction(width, w), Fraction(LONGEST * width, h))
    if fit == "crop":
        scale = max(scale, Fraction(GRID, min(w, h)))  # the short side must fill one cell of the grid
        panel = (_floor(w * scale, width), _floor(h * scale, LONGEST * width))
        taken = (_clip(round(panel[0] / scale), w), _clip(round(panel[1] / scale), h))
        return Geometry(taken, panel, panel)
    if fit == "pad":
        inner = (max(1, round(w * scale)), max(1, round(h * scale)))
        return Geometry(box, inner, (-(-inner[0] // GRID) * GRID, -(-inner[1] // GRID) * GRID))
    panel = (_nearest(w * scale), _nearest(h * scale))
    return Geometry(box, panel, panel)


def centred(size: Size, box: Size) -> Point:
    return (size[0] - box[0]) // 2, (size[1] - box[1]) // 2


def around(bounds: list[tuple[int, int, int, int]], size: Size, context: float) -> tuple[Size, tuple[Point, ...]]:
    """Choose one box size for a batch of masks, and its place in each image.

    Args:
        bounds: per image the (x0, y0, x1, y1) px of what the mask covers, ends excluded.
        size: (width, height) of the images.
        context: added on every side, as a part of the longer side of the mask's bounds.
    Returns:
        box: (width, height) px, never larger than the image.
        corners: per image the (x, y) of the box, moved inside the image.
    """
    extents = [(x1 - x0, y1 - y0) for x0, y0, x1, y1 in bounds]
    margins = [round(2 * context * max(extent)) for extent in extents]
    box = tuple(
        min(size[axis], max(SMALLEST_BOX, *(e[axis] + m for e, m in zip(extents, margins, strict=True)), 0))
        for axis in (0, 1)
    )
    corners = tuple(
        (_inside(x0 + x1 - box[0], size[0] - box[0]), _inside(y0 + y1 - box[1], size[1] - box[1]))
        for x0, y0, x1, y1 in bounds
    )
    return (box[0], box[1]), corners


def _inside(doubled: int, last: int) -> int:
    return min(max(doubled // 2, 0), last)


def _clip(value: int, most: int) -> int:
    return min(max(value, 1), most)


def _floor(value: Fraction, most: int) -> int:
    return max(GRID, min(int(value), most) // GRID * GRID)


def _nearest(value: Fraction) -> int:
    return max(GRID, int(value / GRID + Fraction(1, 2)) * GRID)
