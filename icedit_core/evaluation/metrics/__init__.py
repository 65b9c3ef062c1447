"""One metric a file. Each has `measure(pair, models)`, which gives name -> value, and says what it needs.

Pictures are (H, W, 3) float32 in [0, 1] of one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from .pair import Pair

if TYPE_CHECKING:
    from .models import Models

NAMES = (
    "pixels", "quality", "masked", "unedited", "success", "clip", "clip_score", "dino", "structure",
)  # fmt: skip
"""The order of the columns."""


def measure(pair: Pair, models: Models, names: Sequence[str]) -> tuple[dict[str, float], list[str]]:
    """All values of the metrics named, and which metrics were left out for want of a model, a library, a mask or
    captions."""
    values: dict[str, float] = {}
    left: list[str] = []
    for name in NAMES:
        if name in names:
            module = import_module(f".{name}", __name__)
            left += [why for why in module.lacks(pair, models) if why not in left]
            values |= module.measure(pair, models)
    return values, left
