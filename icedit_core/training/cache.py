"""Latents and text states of all rows, on disk: encoded once, reused by every later run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .base import Base
from .data.rows import Rows


@dataclass(frozen=True)
class Item:
    """One row, encoded; h and w are the latent size of the whole diptych.

    Args:
        target: (16, h, w) latent of source | target.
        condition: (16, h, w) latent of source | mid-grey.
        states, pooled: (T, C) and (P,), the encoded prompt.
        changed: (1, h, w) in [0, 1], the share of edited pixels of each cell; 0 on the left panel.
    """

    target: Tensor
    condition: Tensor
    states: Tensor
    pooled: Tensor
    changed: Tensor
    task: str | None
    key: str


class Cache:
    """The encoded rows. `broken` lists (key, reason) of every row that was left out."""

    keys: list[str]
    tasks: list[str | None]
    broken: list[tuple[str, str]]

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Item:
        raise NotImplementedError

    def batch(self, indices: Tensor, drop: Tensor | None = None) -> dict[str, Tensor]:
        """Stacked target, condition, changed, states, pooled; where `drop` (B,) is true, the empty prompt's text."""
        raise NotImplementedError


def build_cache(
    rows: Rows,
    base: Base,
    *,
    panel: tuple[int, int],
    prompt: str = "ic",
    fit: str = "stretch",
    folder: Path,
    dtype: torch.dtype | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Cache:
    """Encode what is not yet encoded and open the result."""
    raise NotImplementedError
