"""Structure distance: mean squared difference of the self-similarities of DINO's last keys, of source and edit.

The pixels go in from 0 to 255 with ImageNet's normalisation for values in [0, 1], as the published code does it; with
others the figures would not be comparable. Source: cure-lab/PnPInversion, evaluation/matrics_calculator.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from .pair import Pair

if TYPE_CHECKING:
    from .models import Models


def lacks(pair: Pair, models: Models) -> list[str]:
    return [] if models.has_dino else [models.lacks("dino")]


def measure(pair: Pair, models: Models) -> dict[str, float]:
    if not models.has_dino:
        return {}
    source, edit = (similarity(models.dino_keys(picture * 255)) for picture in (pair.source, pair.edit))
    return {"structure_distance": (source - edit).double().square().mean().item()}


def similarity(keys: Tensor) -> Tensor:
    """(T, T) cosines of (T, D)."""
    unit = keys / keys.norm(dim=1, keepdim=True).clamp_min(1e-8)
    return unit @ unit.T
