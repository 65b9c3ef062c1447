"""Places in a picture that a judge named: as a mask, and drawn as frames."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .judges.scores import Region

FRAME = (1.0, 0.15, 0.1)
_THINNEST = 128  # the picture's longer side in frame widths


def mask(picture: Tensor, regions: Sequence[Region]) -> Tensor:
    """1 inside any of the regions, 0 elsewhere.

    Args:
        picture: (H, W, C).
    Returns:
        (H, W) float32.
    """
    made = torch.zeros(picture.shape[:2])
    for one in regions:
        left, top, right, bottom = _pixels(picture, one)
        made[top:bottom, left:right] = 1
    return made


def drawn(picture: Tensor, regions: Sequence[Region]) -> Tensor:
    """The picture with a red frame along each region; the picture itself if there are none.

    Args:
        picture: (H, W, 3 or 4) in [0, 1].
    """
    if not regions:
        return picture
    made, width = picture.clone(), max(1, max(picture.shape[:2]) // _THINNEST)
    for one in regions:
        left, top, right, bottom = _pixels(picture, one)
        frame = torch.zeros(picture.shape[:2], dtype=torch.bool)
        frame[top:bottom, left:right] = True
        frame[top + width : bottom - width, left + width : right - width] = False
        made[..., :3][frame] = torch.tensor(FRAME, dtype=made.dtype)
    return made


def _pixels(picture: Tensor, region: Region) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in pixels, at least one pixel wide and high."""
    height, width = picture.shape[:2]
    left, right = int(region.left * width), math.ceil(region.right * width)
    top, bottom = int(region.top * height), math.ceil(region.bottom * height)
    left, top, right, bottom = min(left, width - 1), min(top, height - 1), min(right, width), min(bottom, height)
    return left, top, max(right, left + 1), max(bottom, top + 1)
