"""PSNR, SSIM, MSE and LPIPS on the unedited part by a mask of the data set, as PIE-Bench has it.

Both pictures are multiplied by 1 - mask and compared whole. Source: cure-lab/PnPInversion, evaluation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import quality
from .pair import Pair

if TYPE_CHECKING:
    from .models import Models


def lacks(pair: Pair, models: Models) -> list[str]:
    if pair.mask is None:
        return ["the unedited part by mask: there is no mask"]
    if pair.mask.all():
        return ["the unedited part by mask: the mask is white everywhere"]
    return quality.lacks(pair, models)


def measure(pair: Pair, models: Models) -> dict[str, float]:
    if pair.mask is None or pair.mask.all():
        return {}
    outside = (~pair.mask)[..., None].float()
    a, b = pair.source * outside, pair.edit * outside
    found = {f"{name}_masked": value for name, value in quality.compared(a, b).items()}
    found["mse_masked"] = (a - b).double().square().mean().item()
    if models.has_lpips:
        found["lpips_masked"] = models.lpips(a, b)
    return found
