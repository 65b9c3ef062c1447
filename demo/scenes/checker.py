"""Was the instruction carried out? Decided from the pixels, against the scene's ground truth."""

from dataclasses import dataclass

import numpy as np

CHANGED = 0.06  # a pixel is edited when a channel of the target differs by more
MIN_SHARE = 0.90
MAX_INSIDE = 0.10
MAX_OUTSIDE = 0.04


@dataclass(frozen=True)
class Verdict:
    """`share` of edited pixels nearer the target than the source; mean absolute errors inside and outside the edit."""

    success: bool
    share: float
    inside: float
    outside: float


def changed_pixels(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The truly edited pixels, (H, W) bool."""
    return np.abs(target - source).max(axis=-1) > CHANGED


def judge(source: np.ndarray, target: np.ndarray, edited: np.ndarray) -> Verdict:
    """Compare an edit with what it should be.

    Args:
        source, target, edited: (H, W, 3) RGB in [0, 1], one size.
    Raises:
        ValueError: the sizes differ.
    """
    if edited.shape != target.shape or source.shape != target.shape:
        raise ValueError(
            f"judge: got an edit of {edited.shape} for a target of {target.shape} and a source of {source.shape}, "
            "but all three must have one size. Resize the edit to the scene's size first."
        )
    changed = changed_pixels(source, target)
    error = np.abs(edited - target).mean(axis=-1)
    inside = float(error[changed].mean()) if changed.any() else 0.0
    outside = float(error[~changed].mean()) if not changed.all() else 0.0
    to_target = np.square(edited - target).sum(axis=-1)
    to_source = np.square(edited - source).sum(axis=-1)
    share = float((to_target < to_source)[changed].mean()) if changed.any() else 0.0
    success = share > MIN_SHARE and inside < MAX_INSIDE and outside < MAX_OUTSIDE
    return Verdict(success, share, inside, outside)
