"""Resample a picture along its two axes separately, at any scale and sub-pixel shift.

F.interpolate knows no shift, and F.grid_sample no antialiasing: a cubic kernel, stretched where the picture shrinks,
does both. It works on strips of rows, so beside the two pictures it needs little memory.
"""

import math

import torch
from torch import Tensor

STRIP = 1 << 18  # output pixels computed at once


def resample(image: Tensor, rows: tuple[float, float, int], columns: tuple[float, float, int]) -> Tensor:
    """Read `image` at evenly spaced positions; beyond its border the border's values go on.

    Args:
        image: (h, w, C) float.
        rows, columns: (first position, step, count) in pixels, where 0 is the centre of the first pixel.
    Returns:
        (rows' count, columns' count, C): Catmull-Rom, stretched for steps above 1. Positions on pixels are exact.
    """
    row_taps, column_taps = _taps(*rows, image.shape[0], image), _taps(*columns, image.shape[1], image)
    strip = max(1, STRIP // columns[2])
    out = image.new_empty(rows[2], columns[2], image.shape[2])
    for top in range(0, rows[2], strip):
        part = slice(top, min(top + strip, rows[2]))
        high = _along(image, 0, row_taps[0][:, part], row_taps[1][:, part])
        out[part] = _along(high, 1, *column_taps)
    return out


def positions(scale: float, shift: float, length: int, edit_length: int) -> tuple[float, float, int]:
    """Where an axis of the source lies in an edit, as (first position, step, count) for `resample`.

    Args:
        scale, shift: as in `Registration`; the shift in px of the source.
        length, edit_length: px of the source and of the edit along this axis.
    """
    ratio = edit_length / length
    first = (length / 2 + scale * (0.5 - length / 2) + shift) * ratio - 0.5
    return first, scale * ratio, length


def inside(first: float, step: float, count: int, edit_length: int) -> Tensor:
    """Which of these positions lie on the edit, (count,) bool."""
    at = first + step * torch.arange(count, dtype=torch.float64)
    return (at >= -0.5 - 1e-6) & (at <= edit_length - 0.5 + 1e-6)


def _taps(first: float, step: float, count: int, size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The pixels that each position reads and their weights, each (taps, count)."""
    stretch = max(1.0, step)
    reach = math.ceil(2 * stretch)
    at = first + step * torch.arange(count, dtype=torch.float64)
    pixels = at.floor()[None] + torch.arange(1 - reach, reach + 1)[:, None]  # (taps, count)
    x = (pixels - at).abs() / stretch
    near, far = ((1.5 * x - 2.5) * x) * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
    weights = weights / weights.sum(0)
    return pixels.clamp(0, size - 1).long().to(like.device), weights.to(like)


def _along(image: Tensor, axis: int, pixels: Tensor, weights: Tensor) -> Tensor:
    shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    total = image.index_select(axis, pixels[0]).mul_(weights[0].view(shape))
    for pixel, weight in zip(pixels[1:], weights[1:], strict=True):
        total.addcmul_(image.index_select(axis, pixel), weight.view(shape))
    return total
