"""PSNR and SSIM on the unedited part without a hand-made mask: what changed is found as ICEdit Keep Unedited finds it.

Only pixels outside the change are counted, so the share that changed stands beside the figures.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .pair import Pair, planes
from .quality import MOST_PSNR

if TYPE_CHECKING:
    from .models import Models

LEAST_SIDE = 32  # px: in less no change can be told from noise


def lacks(pair: Pair, models: Models) -> str:
    return "" if min(pair.source.shape[:2]) >= LEAST_SIDE else "the unedited part as found: the picture is too small"


def measure(pair: Pair, models: Models) -> dict[str, float]:
    from torchmetrics.functional.image import structural_similarity_index_measure

    from ...keep import keep

    if min(pair.source.shape[:2]) < LEAST_SIDE:
        return {}
    changed = keep(pair.source[None], pair.edit[None]).mask[0] > 0
    found = {"changed_share": changed.double().mean().item()}
    outside = ~changed
    if not outside.any():
        return found
    error = (pair.source - pair.edit).double().square().mean(-1)[outside].mean().item()
    found["psnr_found"] = min(MOST_PSNR, -10 * math.log10(error)) if error > 0 else MOST_PSNR
    every = structural_similarity_index_measure(
        planes(pair.source), planes(pair.edit), data_range=1.0, return_full_image=True
    )[1]
    found["ssim_found"] = every[0].mean(0)[outside].mean().item()
    return found
