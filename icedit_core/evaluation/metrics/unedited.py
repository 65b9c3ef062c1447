"""PSNR and SSIM on the unedited part without a hand-made mask: what changed is found as ICEdit Keep Unedited finds it.

Only pixels outside the change are counted, so the share that changed stands beside the figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import quality
from .pair import Pair

if TYPE_CHECKING:
    from .models import Models

LEAST_SIDE = 32  # px: in less no change can be told from noise


def lacks(pair: Pair, models: Models) -> list[str]:
    if min(pair.source.shape[:2]) < LEAST_SIDE:
        return ["the unedited part as found: the picture is too small"]
    return quality.lacks_ssim(pair)


def measure(pair: Pair, models: Models) -> dict[str, float]:
    from ...keep import keep

    if min(pair.source.shape[:2]) < LEAST_SIDE:
        return {}
    changed = keep(pair.source[None], pair.edit[None]).mask[0] > 0
    found = {"changed_share": changed.double().mean().item()}
    outside = ~changed
    if not outside.any():
        return found
    error = (pair.source - pair.edit).double().square().mean(-1)[outside].mean().item()
    found["psnr_found"] = quality.psnr(error)
    if not quality.lacks_ssim(pair):
        found["ssim_found"] = quality.ssim(pair.source, pair.edit)[outside].mean().item()
    return found
