"""PSNR and SSIM by torchmetrics, and LPIPS where its weights are given, between edit and reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from .pair import Pair, planes

if TYPE_CHECKING:
    from .models import Models

MOST_PSNR = 100.0  # dB, of equal pictures: infinity has no mean


def lacks(pair: Pair, models: Models) -> str:
    return "" if models.has_lpips else "LPIPS: no --lpips file"


def measure(pair: Pair, models: Models) -> dict[str, float]:
    found = compared(pair.compared, pair.reference)
    if models.has_lpips:
        found["lpips"] = models.lpips(pair.compared, pair.reference)
    return found


def compared(a: Tensor, b: Tensor) -> dict[str, float]:
    """PSNR in dB, at most MOST_PSNR, and SSIM of (H, W, 3)."""
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    psnr = peak_signal_noise_ratio(planes(a), planes(b), data_range=1.0).item()
    found = {"psnr": min(psnr, MOST_PSNR)}
    if min(a.shape[:2]) > 10:  # the window has 11 px
        ssim: Any = structural_similarity_index_measure(planes(a), planes(b), data_range=1.0)
        found["ssim"] = float(ssim)
    return found
