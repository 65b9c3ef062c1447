"""Latents and text states of all rows, on disk: encoded once, reused by every later run.

A cache is a folder named after everything that its content follows from: rows, encoders, panel, fit, prompt, type.
It holds shards of rows (latents, share of edited pixels) and of prompts (states, pooled), each a safetensors file that
appears whole or not at all, so a build that is killed goes on where it stopped.
"""

from __future__ import annotations

import json
import logging
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from .base import Base
from .cache_build import INDEX, Progress, build, identity_of, stored_as
from .data.rows import Rows

log = logging.getLogger(__name__)

IN_MEMORY = 4 << 30  # bytes; a larger cache stays in its files and is read through the system's page cache
LATENTS = ("target", "condition", "changed")
TEXTS = ("states", "pooled")


@dataclass(frozen=True)
class Item:
    """One row, encoded; h and w are the latent size of the whole diptych.

    Args:
        target: (16, h, w) latent of source | target, float32.
        condition: (16, h, w) latent of source | mid-grey, float32.
        states, pooled: (T, C) and (P,), the encoded prompt, in the cache's type.
        changed: (1, h, w) in [0, 1], the share of edited pixels of each cell; 0 on the left panel.
    """

    target: Tensor
    condition: Tensor
    states: Tensor
    pooled: Tensor
    changed: Tensor
    task: str | None
    key: str


class _Column:
    """One tensor field over several files: joined in memory, or left where it is."""

    def __init__(self, parts: list[Tensor], join: bool):
        self._parts = [torch.cat(parts)] if join else parts
        self._ends = list(accumulate(len(part) for part in self._parts))

    def __len__(self) -> int:
        return self._ends[-1]

    def take(self, indices: Sequence[int]) -> Tensor:
        if len(self._parts) == 1:
            return self._parts[0][torch.as_tensor(indices)]
        return torch.stack([self._one(i) for i in indices])

    def _one(self, index: int) -> Tensor:
        part = bisect_right(self._ends, index)
        return self._parts[part][index - (self._ends[part - 1] if part else 0)]


class Cache:
    """The encoded rows, in the order of the data.

    Args:
        folder: where `build_cache` wrote them.
        in_memory: bytes up to which everything is read at once.

    Attributes:
        keys, tasks: of every item.
        broken: (key, reason) of every row that was left out.
        bytes: size of all tensors.
    """

    def __init__(self, folder: Path, in_memory: int = IN_MEMORY):
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        self.keys: list[str] = index["keys"]
        self.tasks: list[str | None] = index["tasks"]
        self.broken: list[tuple[str, str]] = [(key, reason) for key, reason in index["broken"]]
        self._texts: list[int] = index["texts"]
        rows, prompts = (_read(folder, index[name]) for name in ("row_files", "prompt_files"))
        self.bytes = sum(part.nbytes for parts in (rows, prompts) for file in parts for part in file.values())
        join = self.bytes <= in_memory
        self._columns = {name: _Column([file[name] for file in rows], join) for name in LATENTS}
        self._columns.update({name: _Column([file[name] for file in prompts], join) for name in TEXTS})

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Item:
        index = range(len(self))[index]
        fields = {name: value[0] for name, value in self.batch([index]).items()}
        return Item(**fields, task=self.tasks[index], key=self.keys[index])

    def batch(self, indices: Sequence[int] | Tensor, drop: Sequence[bool] | Tensor | None = None) -> dict[str, Tensor]:
        """Items stacked, by field name.

        Args:
            indices: which items, (B,).
            drop: (B,), true where the text is left out: such an item gets the states of the empty prompt.
        Returns:
            `target`, `condition`, `changed` in float32, `states` and `pooled` in the cache's type.
        """
        chosen = indices.tolist() if isinstance(indices, Tensor) else list(indices)
        texts = [self._texts[i] for i in chosen]
        if drop is not None:
            texts = [0 if dropped else text for text, dropped in zip(texts, drop, strict=True)]
        found = {name: self._columns[name].take(chosen).float() for name in LATENTS}
        return {**found, **{name: self._columns[name].take(texts) for name in TEXTS}}


def _read(folder: Path, names: list[str]) -> list[dict[str, Tensor]]:
    """The tensors of files, mapped: nothing is read before it is used."""
    found = []
    for name in names:
        with safe_open(folder / name, framework="pt") as opened:
            found.append({key: opened.get_tensor(key) for key in opened.keys()})
    return found


def build_cache(
    rows: Rows,
    base: Base,
    *,
    panel: tuple[int, int],
    prompt: str = "ic",
    fit: str = "stretch",
    folder: Path,
    dtype: torch.dtype = torch.float32,
    progress: Progress | None = None,
    in_memory: int = IN_MEMORY,
) -> Cache:
    """Encode what is not encoded yet, and open the result.

    Args:
        rows: what to encode; broken ones are logged, counted and left out.
        base: whose encoders to use; they are only loaded if something is missing.
        panel: (width, height) of one panel in pixels, multiples of 16.
        prompt: "ic" for the in-context prompt around the instruction, "direct" for the instruction alone.
        fit: "stretch" brings both pictures to the panel as they are (published), "crop" cuts them to the panel's
            proportions around the middle first.
        folder: where caches are kept; each has a folder of its own in it.
        dtype: to store in. A base that computes in a shorter type is stored in that: the same numbers in less space.
        progress: called as progress(what, done, total) with "rows" and "prompts".
        in_memory: bytes up to which the cache is read into memory.
    Raises:
        ValueError: an impossible panel, prompt or fit; every row is broken.
    """
    dtype = stored_as(dtype, base)
    identity = identity_of(rows, base, panel, prompt, fit, dtype)
    place = folder / identity
    if not (place / INDEX).is_file():
        build(rows, base, panel, prompt, fit, place, dtype, progress)
    cache = Cache(place, in_memory)
    if cache.broken:
        log.warning("%d of %d rows are broken and left out", len(cache.broken), len(cache.broken) + len(cache))
    return cache
