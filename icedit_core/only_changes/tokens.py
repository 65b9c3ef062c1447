"""Latents as the tokens that a diffusion transformer computes, row by row."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import repeat
from torch import Tensor

from ..pixels import covered


class Grid(NamedTuple):
    """rows, columns: of tokens; patch: latent pixels on a token's side."""

    rows: int
    columns: int
    patch: int

    @property
    def tokens(self) -> int:
        return self.rows * self.columns


def grid_of(latent: Tensor, patch: int) -> Grid:
    """The grid of a latent (..., H, W); sides that are no multiple of `patch` are filled up."""
    return Grid(-(-latent.shape[-2] // patch), -(-latent.shape[-1] // patch), patch)


def to_tokens(latent: Tensor, grid: Grid) -> Tensor:
    """(B, C, H, W) as (B, N, C * patch * patch), the channels of a token together."""
    missing = (grid.columns * grid.patch - latent.shape[-1], grid.rows * grid.patch - latent.shape[-2])
    if any(missing):
        latent = F.pad(latent, (0, missing[0], 0, missing[1]), mode="replicate")
    return F.unfold(latent, grid.patch, stride=grid.patch).movedim(1, 2)


def of_mask(mask: Tensor, grid: Grid) -> Tensor:
    """The tokens that hold any of a mask.

    Args:
        mask: (B, H, W) in [0, 1], of any size.
    Returns:
        (B, N) bool.
    """
    sides = [max(side, cells) for side, cells in zip(mask.shape[-2:], grid[:2], strict=True)]
    planes = covered(mask.float())[:, None].float()
    if tuple(mask.shape[-2:]) != tuple(sides):  # fewer pixels than tokens: every token gets its pixel
        planes = F.interpolate(planes, size=sides, mode="nearest")
    return F.adaptive_max_pool2d(planes, grid[:2])[:, 0].flatten(1) > 0


def to_latent(chosen: Tensor, grid: Grid, like: Tensor) -> Tensor:
    """Chosen tokens (B, N) bool as a mask (B, 1, H, W) of a latent's size."""
    sides = {"h": grid.rows, "w": grid.columns, "p": grid.patch, "q": grid.patch}
    return repeat(chosen, "b (h w) -> b 1 (h p) (w q)", **sides)[..., : like.shape[-2], : like.shape[-1]]


def union(chosen: Tensor) -> Tensor:
    """Row numbers (A,) of the tokens that any member of a batch (B, N) has chosen: one model call holds them all."""
    return torch.nonzero(chosen.any(0)).flatten()
