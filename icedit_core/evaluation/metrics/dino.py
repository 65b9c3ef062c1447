"""Cosine of DINO's class tokens of edit and reference.

The shorter side is brought to 256 px (bicubic), the middle 224 px are cut out.
Source: OSU-NLP-Group/MagicBrush, evaluation/image_eval.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.functional import cosine_similarity

from .pair import Pair

if TYPE_CHECKING:
    from .models import Models


def lacks(pair: Pair, models: Models) -> list[str]:
    return [] if models.has_dino else [models.lacks("dino")]


def measure(pair: Pair, models: Models) -> dict[str, float]:
    if not models.has_dino:
        return {}
    edit, reference = models.dino_pictures([pair.compared, pair.reference])
    return {"dino": cosine_similarity(edit, reference, dim=0).item()}
