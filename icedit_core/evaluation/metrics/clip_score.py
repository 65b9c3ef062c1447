"""torchmetrics' CLIP score as PIE-Bench takes it: 100 times the cosine of picture and caption, never below 0.

Whole edit and editing_prompt; the edit multiplied by the mask and editing_prompt; the source and original_prompt.
Source: cure-lab/PnPInversion, evaluation/matrics_calculator.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.functional import cosine_similarity

from .pair import Pair

if TYPE_CHECKING:
    from .models import Models


def lacks(pair: Pair, models: Models) -> list[str]:
    if not models.has_clip:
        return [models.lacks("clip")]
    return [] if pair.captions else ["CLIP score: there are no captions"]


def measure(pair: Pair, models: Models) -> dict[str, float]:
    if not models.has_clip or not pair.captions:
        return {}
    pictures = [pair.source, pair.edit]
    if pair.mask is not None:
        pictures.append(pair.edit * pair.mask[..., None])
    seen, (before, after) = models.clip_pictures(pictures), models.clip_words(list(pair.captions))
    names = ("clip_score_source", "clip_score_edit", "clip_score_edited_part")
    texts = (before, after, after)
    scores = (100 * cosine_similarity(a, b, dim=0).item() for a, b in zip(seen, texts, strict=False))
    return {name: max(score, 0.0) for name, score in zip(names, scores, strict=False)}
