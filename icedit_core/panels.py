"""Where things lie in a diptych and in FLUX's row of tokens: its halves, its 2x2 patches, the text before the image."""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor

from .pixels import covered

_PATCHES = {"p": 2, "q": 2}
_LATENT, _TOKENS = "b c (h p) (w q)", "b (h w) (c p q)"


def left(x: Tensor) -> Tensor:
    """The source's half of a diptych or of its latent, (..., w) -> (..., w // 2), a view."""
    return x[..., : x.shape[-1] // 2]


def right(x: Tensor) -> Tensor:
    """The repainted half of a diptych or of its latent, (..., w) -> (..., w - w // 2), a view."""
    return x[..., x.shape[-1] // 2 :]


def right_alone(mask: Tensor) -> bool:
    """Whether a mask (..., w) of an even width covers anything in the right half and nothing in the left."""
    shown = covered(mask)
    return mask.shape[-1] % 2 == 0 and bool(right(shown).any()) and not bool(left(shown).any())


def pack(latent: Tensor) -> Tensor:
    """(B, C, h, w) to tokens (B, h/2 * w/2, 4C), each (channel, row, column) as FLUX has it."""
    return rearrange(latent, f"{_LATENT} -> {_TOKENS}", **_PATCHES)


def unpack(tokens: Tensor, h: int, w: int) -> Tensor:
    """The inverse of `pack`; h and w of the latent."""
    return rearrange(tokens, f"{_TOKENS} -> {_LATENT}", h=h // 2, w=w // 2, **_PATCHES)


def image_ids(h: int, w: int, device: torch.device | str | None = None) -> Tensor:
    """(h/2 * w/2, 3) row and column of every token of a latent h x w."""
    rows, columns = torch.meshgrid(
        torch.arange(h // 2, device=device), torch.arange(w // 2, device=device), indexing="ij"
    )
    return torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3).float()


def left_tokens(rows: int, columns: int) -> Tensor:
    """(rows * columns,) places of a panel's tokens, row by row, among those of the diptych whose left half it is."""
    return left(torch.arange(2 * rows * columns).view(rows, 2 * columns)).reshape(-1)


class Tokens(NamedTuple):
    """What a FLUX model has in a row at one call.

    text: tokens of the text; image: tokens of the image with what is put behind it (reference pictures); grid: (rows,
    columns) of the image's own tokens, which come first among `image`, row by row.
    """

    text: int
    image: int
    grid: tuple[int, int]

    def of_image(self, module: str, length: int) -> slice | None:
        """Where the image's own tokens stand among those that a layer sees, None for a layer of the text or of none.

        Args:
            module: the layer's name. Single blocks have the text before the image; double blocks keep them apart.
            length: how many tokens the layer sees.
        """
        if length == self.image + self.text:
            first = self.text
        elif length == self.image and ".txt_" not in module:
            first = 0
        else:
            return None
        return slice(first, first + self.grid[0] * self.grid[1])
