"""Bring an editor's picture onto its source: shift and zoom are measured, and the edit is resampled, never the source.

Editors shift a picture by some pixels, zoom it by a per cent or two, return another size, and crop or pad to a format
that they know. `register` measures this (tiles and fit in matching.py), `align` undoes it. A measurement that cannot be
trusted says why and is not used.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from . import matching
from .pixels import resize
from .resample import inside, positions, resample

LEAST_MOVE = 0.15  # source px: a fit that moves no pixel further is none, and nothing is resampled for it
LEAST_SIDE = 32  # px: in less there is nothing to match
LEAST_MARGIN = 0.03  # share of the edit's side beyond the source from which the edit is said to be cropped


@dataclass(frozen=True)
class Registration:
    """Where the source's pixels lie in the edit, after the edit is stretched to the source's size.

    A source position X (px, from the left edge) is found at W / 2 + scale_x * (X - W / 2) + shift_x there; likewise
    for Y. A scale above 1 means that the edit shows things larger, and less of the source.
    """

    scale_x: float
    scale_y: float
    shift_x: float  # source px
    shift_y: float
    size: tuple[int, int]  # (height, width) px of the edit
    # (x, y, width, height) px: the part of the edit that shows the source, where the edit shows more
    crop: tuple[int, int, int, int] | None
    trusted: bool
    reason: str  # why it is not trusted, or ""

    @property
    def identity(self) -> bool:
        """Whether plain resizing is all that `align` does."""
        return not self.trusted or (self.scale_x, self.scale_y, self.shift_x, self.shift_y) == (1, 1, 0, 0)

    def words(self) -> str:
        """Such as "zoom -1.6 %, shift 0.7 px", "no shift", or why it is not trusted."""
        if not self.trusted:
            return f"not aligned: {self.reason}"
        if self.identity:
            return "no shift"
        across, down = (100 * (scale - 1) for scale in (self.scale_x, self.scale_y))
        parts = []
        if abs(across - down) >= 0.15:
            parts.append(f"zoom {across:+.1f} % across and {down:+.1f} % down")
        elif abs(across + down) >= 0.1:
            parts.append(f"zoom {(across + down) / 2:+.1f} %")
        shift = (self.shift_x**2 + self.shift_y**2) ** 0.5
        parts.append(f"shift {shift:.1f} px")
        if self.crop:
            parts.append(f"cropped to {self.crop[2]}x{self.crop[3]} of {self.size[1]}x{self.size[0]} px")
        return ", ".join(parts)


def register(source: Tensor, edit: Tensor) -> Registration:
    """Measure how `edit` lies on `source`.

    Args:
        source: (H, W, 3) in [0, 1].
        edit: (h, w, 3) in [0, 1], an edit of it of any size.
    Returns:
        The identity where no pixel moves by more than 0.15 px (of the copy that is measured, at most 0.6 MP).
    """
    size = (edit.shape[0], edit.shape[1])
    height, width = source.shape[:2]
    if source.shape == edit.shape and torch.equal(source, edit):
        return Registration(1.0, 1.0, 0.0, 0.0, size, None, True, "")
    if min(*source.shape[:2], *size) < LEAST_SIDE:
        reason = f"a side is below {LEAST_SIDE} px"
        return Registration(1.0, 1.0, 0.0, 0.0, size, None, False, reason)
    fit = matching.fit(source, edit)
    if fit.reason:
        return Registration(1.0, 1.0, 0.0, 0.0, size, None, False, fit.reason)
    move_x = abs(fit.scale_x - 1) * width / 2 + abs(fit.shift_x)
    move_y = abs(fit.scale_y - 1) * height / 2 + abs(fit.shift_y)
    if max(move_x, move_y) <= LEAST_MOVE * fit.reduction:
        return Registration(1.0, 1.0, 0.0, 0.0, size, None, True, "")
    crop = _crop(fit, (height, width), size)
    return Registration(fit.scale_x, fit.scale_y, fit.shift_x, fit.shift_y, size, crop, True, "")


def align(edit: Tensor, registration: Registration, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Resample `edit` onto the source's pixels.

    Args:
        edit: (h, w, 3) in [0, 1]; another edit of the same size and registration will do, as an encoded source.
        registration: from `register`. Where it is not trusted the edit is only resized.
        size: (H, W) px of the source.
    Returns:
        aligned: (H, W, 3) in [0, 1], float32.
        coverage: (H, W) float32, 1 where the edit has pixels, 0 where it shows less than the source.
    """
    height, width = size
    if registration.identity:
        return resize(edit[None], (width, height))[0], torch.ones(height, width, device=edit.device)
    r = registration
    rows = positions(r.scale_y, r.shift_y, height, edit.shape[0])
    columns = positions(r.scale_x, r.shift_x, width, edit.shape[1])
    aligned = resample(edit.float().clamp(0, 1), rows, columns).clamp_(0, 1)
    coverage = inside(*rows, edit.shape[0])[:, None] & inside(*columns, edit.shape[1])
    return aligned, coverage.float().to(edit.device)


def _crop(fit: matching.Fit, size: tuple[int, int], edit: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The part of the edit that shows the source, where the edit shows clearly more."""
    if min(fit.scale_x, fit.scale_y) > 1 - LEAST_MARGIN:
        return None
    spans = []
    for scale, shift, length, edit_length in (
        (fit.scale_x, fit.shift_x, size[1], edit[1]),
        (fit.scale_y, fit.shift_y, size[0], edit[0]),
    ):
        middle, half = (length / 2 + shift) / length, scale / 2
        spans.append([round(edit_length * min(max(x, 0.0), 1.0)) for x in (middle - half, middle + half)])
    (left, right), (top, bottom) = spans
    return left, top, right - left, bottom - top
