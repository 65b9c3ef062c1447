"""Whether an edit is what it should be, where the exact target is known: the demo's checker on tensors.

A core test compares it with demo/scenes/checker.py, which stays the one that the demo is measured by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .pair import Pair

if TYPE_CHECKING:
    from .models import Models

CHANGED = 0.06  # a pixel is edited when a channel of the target differs by more
MIN_SHARE, MAX_INSIDE, MAX_OUTSIDE = 0.90, 0.10, 0.04


def lacks(pair: Pair, models: Models) -> list[str]:
    return [] if pair.target is not None else ["success: there is no target"]


def measure(pair: Pair, models: Models) -> dict[str, float]:
    if pair.target is None:
        return {}
    changed = (pair.target - pair.source).abs().amax(-1) > CHANGED
    error = (pair.edit - pair.target).abs().mean(-1)
    inside = error[changed].mean().item() if changed.any() else 0.0
    outside = error[~changed].mean().item() if not changed.all() else 0.0
    to_target = (pair.edit - pair.target).square().sum(-1)
    to_source = (pair.edit - pair.source).square().sum(-1)
    share = (to_target < to_source)[changed].float().mean().item() if changed.any() else 0.0
    good = share > MIN_SHARE and inside < MAX_INSIDE and outside < MAX_OUTSIDE
    return {"success": float(good), "share": share, "error_inside": inside, "error_outside": outside}
