"""Mean absolute and mean squared difference between edit and reference, of values in [0, 1].

Source: OSU-NLP-Group/MagicBrush, evaluation/image_eval.py, eval_distance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .pair import Pair

if TYPE_CHECKING:
    from .models import Models


def lacks(pair: Pair, models: Models) -> list[str]:
    return []


def measure(pair: Pair, models: Models) -> dict[str, float]:
    difference = (pair.compared - pair.reference).double()
    return {"l1": difference.abs().mean().item(), "l2": difference.square().mean().item()}
