"""PSNR, SSIM by torchmetrics, and LPIPS where its weights are given, between edit and reference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor

from .libraries import missing
from .pair import Pair, planes

if TYPE_CHECKING:
    from .models import Models

MOST_PSNR = 100.0  # dB, of equal pictures: infinity has no mean
WINDOW = 11  # px, of SSIM


def lacks(pair: Pair, models: Models) -> list[str]:
    return [*lacks_ssim(pair), *([] if models.has_lpips else [models.lacks("lpips")])]


def lacks_ssim(pair: Pair) -> list[str]:
    """Why there is no SSIM, or nothing."""
    if why := missing("torchmetrics"):
        return [f"SSIM: {why}"]
    shapes = (pair.source.shape, pair.reference.shape)
    return ["SSIM: the picture is too small"] if min(min(shape[:2]) for shape in shapes) < WINDOW else []


def measure(pair: Pair, models: Models) -> dict[str, float]:
    found = compared(pair.compared, pair.reference)
    if models.has_lpips:
        found["lpips"] = models.lpips(pair.compared, pair.reference)
    return found


def compared(a: Tensor, b: Tensor) -> dict[str, float]:
    """PSNR in dB and, where it can be had, SSIM of (H, W, 3)."""
    found = {"psnr": psnr((a - b).double().square().mean().item())}
    if not missing("torchmetrics") and min(a.shape[:2]) >= WINDOW:
        found["ssim"] = ssim(a, b).mean().item()
    return found


def psnr(error: float) -> float:
    """PSNR in dB, at most MOST_PSNR, of a mean squared error of values in [0, 1]."""
    return min(MOST_PSNR, -10 * math.log10(error)) if error > 0 else MOST_PSNR


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of every pixel (H, W), the mean of its channels, of (H, W, 3)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    every = structural_similarity_index_measure(planes(a), planes(b), data_range=1.0, return_full_image=True)[1]
    return every[0].mean(0)
