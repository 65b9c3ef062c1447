"""How far tokens are from the source's as a VAE's decoder sees them."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .tokens import Grid


def normalised(features: Sequence[Tensor]) -> list[Tensor]:
    """Features (B, C, h, w), each with length 1 over its channels."""
    return [one / (one.square().sum(1, keepdim=True).sqrt() + 1e-10) for one in (one.float() for one in features)]


def distance(features: Sequence[Tensor], source: Sequence[Tensor], size: tuple[int, int], grid: Grid) -> Tensor:
    """The squared difference of normalised features, meant over the decoder's layers and each token, 0 to 4.

    Args:
        features: of the estimate, from `normalised`: the decoder's first convolution, middle and first upsampling.
        source: the same of the source, (B or 1, C, h, w) each.
        size: (H, W) of the latent.
    Returns:
        (B, N).
    Source: SpotEdit, arXiv 2512.22323, and its code ("LPIPS"); all layers count alike.
    """
    maps = [(one - of).square().sum(1, keepdim=True) for one, of in zip(features, source, strict=True)]
    maps = [F.interpolate(one, size=size, mode="bilinear", align_corners=False) for one in maps]
    mean = torch.stack(maps).mean(0)  # (B, 1, H, W)
    missing = (grid.columns * grid.patch - size[1], grid.rows * grid.patch - size[0])
    mean = F.pad(mean, (0, missing[0], 0, missing[1]), mode="replicate") if any(missing) else mean
    return F.avg_pool2d(mean, grid.patch).flatten(1)
