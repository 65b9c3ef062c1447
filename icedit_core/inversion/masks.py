"""A mask of the picture brought to the grid on which a model's tokens or latent pixels are edited."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .plan import WHO

POOLINGS = ("area", "max", "published")


def pooled(mask: Tensor, latent: Sequence[int], scale: int, patch: int, how: str = "area", dilation: int = 0) -> Tensor:
    """How much of each latent pixel is edited.

    Args:
        mask: (B, H, W) in [0, 1], 1 edits: of the picture's size, or of the latent's own.
        latent: (h, w).
        scale: pixels along a latent pixel.
        patch: latent pixels along a cell of the mask: a token's on FLUX, 1 on SD3.5.
        how: "area": the mean of a cell. "max": the highest value in a cell, so that all the mask touches is edited.
            "published": bilinear without antialiasing, which is the mean of a cell's 4 centre pixels.
        dilation: px by which the mask grows first, as a square.
    Returns:
        (B, 1, h, w) float32.
    Raises:
        ValueError: a mask of another size than the picture's.
    """
    if how not in POOLINGS:
        raise ValueError(f"{WHO}: mask_pooling is {how!r}, but one of {', '.join(POOLINGS)} is needed.")
    if tuple(mask.shape[-2:]) == tuple(latent) and scale > 1:
        mask = mask.repeat_interleave(scale, -2).repeat_interleave(scale, -1)
    cells = [-(-side // patch) for side in latent]
    full = _placed(mask.float().clamp(0, 1), latent, scale, patch).unsqueeze(1)  # (B, 1, H, W)
    if dilation:
        full = F.max_pool2d(full, 2 * dilation + 1, stride=1, padding=dilation)
    if how == "area":
        small = F.avg_pool2d(full, patch * scale)
    elif how == "max":
        small = F.max_pool2d(full, patch * scale)
    else:
        small = F.interpolate(full, cells, mode="bilinear", align_corners=False, antialias=False)
    grown = small.repeat_interleave(patch, -2).repeat_interleave(patch, -1)
    return grown[..., : latent[0], : latent[1]]


def _placed(mask: Tensor, latent: Sequence[int], scale: int, patch: int) -> Tensor:
    """The mask on whole cells: padded below and right with 0, or cropped as the host's VAE Encode crops a picture."""
    picture, sides = [side * scale for side in latent], mask.shape[-2:]
    slack = [whole - side for whole, side in zip(picture, sides, strict=True)]
    if not all(-scale < gap < patch * scale for gap in slack):
        raise ValueError(
            f"{WHO}: the mask is {sides[1]}x{sides[0]} px, but the latent's picture is {picture[1]}x{picture[0]} px. "
            "Scale the mask as the picture was scaled before VAE Encode."
        )
    for dim, gap in zip((-2, -1), slack, strict=True):
        if gap < 0:
            mask = mask.narrow(dim, -gap // 2, mask.shape[dim] + gap)
    height, width = mask.shape[-2:]
    full = [-(-side // patch) * patch * scale for side in latent]
    placed = torch.zeros(*mask.shape[:-2], *full, device=mask.device)
    placed[..., :height, :width] = mask
    return placed
