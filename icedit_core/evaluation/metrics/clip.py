"""Cosines of CLIP features: edit and reference (CLIP-I), edit and caption (CLIP-T), and the direction of both changes.

Source: OSU-NLP-Group/MagicBrush, evaluation/image_eval.py; direction: StyleGAN-NADA, arXiv 2108.00946, equation 2.
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
    return [] if pair.captions else ["CLIP-T and CLIP-dir: there are no captions"]


def measure(pair: Pair, models: Models) -> dict[str, float]:
    if not models.has_clip:
        return {}
    edit, reference, source = models.clip_pictures([pair.compared, pair.reference, pair.source])
    found = {"clip_i": cosine_similarity(edit, reference, dim=0).item()}
    if pair.captions:
        before, after = models.clip_words(list(pair.captions))
        found["clip_t"] = cosine_similarity(edit, after, dim=0).item()
        found["clip_dir"] = cosine_similarity(_unit(edit) - _unit(source), _unit(after) - _unit(before), dim=0).item()
    return found


def _unit(feature):
    return feature / feature.norm()
