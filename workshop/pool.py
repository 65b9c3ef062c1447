"""A rolling pool of encoded pictures, so that drawing and encoding cost a fraction of a training step."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from icedit_core.training.objective import edit_weights

from . import plain_scenes as scenes
from .autoencoder import TinyAutoencoder, diptychs, to_tensor

CAPACITY = 8192
EDIT_WEIGHT, BOOST, KEPT_WEIGHT = 5.0, 4.0, 0.1
FIRST_SEED = 10_000_000
SHARES = {"recolour": 0.15, "remove": 0.06, "add": 0.10, "swap": 0.50, "background": 0.12, "style": 0.07}
LARGE, LARGE_FACTOR = 0.21, 2.5  # radius of a thing whose swaps, the slowest to be learned, are shown more often
CELL = 16  # px of a token's side
SINGLES = 4  # one edited picture in so many is also kept alone


def loss_weight(examples) -> Tensor:
    """(B, 1, H/8, W/8) of a diptych: low on the left panel, high where the edit changes something."""
    changed = torch.stack([torch.from_numpy(scenes.changed_pixels(e.source, e.target)) for e in examples])
    right = edit_weights(F.max_pool2d(changed[:, None].float(), 8) > 0, EDIT_WEIGHT, BOOST)
    return torch.cat([torch.full_like(right, KEPT_WEIGHT), right], dim=3)


@torch.no_grad()
def encode(autoencoder: TinyAutoencoder, pictures: Tensor) -> Tensor:
    """Latents of (B, 3, H, W) pictures in [0, 1]."""
    with torch.autocast("cpu", torch.bfloat16):
        return autoencoder.encode(pictures.contiguous(memory_format=torch.channels_last)).float().contiguous()


def encode_pairs(autoencoder: TinyAutoencoder, examples) -> tuple[Tensor, Tensor]:
    """Latents of source|target and of source|grey, each encoded as one diptych as the host does."""
    sources = [e.source for e in examples]
    both = torch.cat([diptychs(sources, [e.target for e in examples]), diptychs(sources, None)])
    return tuple(encode(autoencoder, both).chunk(2))


def boxes(rng: np.random.Generator, count: int, size: int) -> Tensor:
    """(count, 1, size, size) masks, 1 where a picture is to be painted: all of it, or a box of whole tokens."""
    mask = torch.zeros(count, 1, size, size)
    cells = size // CELL
    for i in range(count):
        x, y = rng.integers(0, cells, 2)
        w, h = rng.integers(2, cells + 1, 2)
        if rng.random() < 0.4:
            x = y = 0
            w = h = cells
        mask[i, :, y * CELL : (y + h) * CELL, x * CELL : (x + w) * CELL] = 1
    return mask


def shown(edit: scenes.Edit) -> float:
    """How often an edit is shown, as a multiple of others."""
    return LARGE_FACTOR if edit.task == "swap" and edit.old and edit.old.radius > LARGE else 1.0


class Ring:
    """Tensors and objects of one kind, the oldest leave first."""

    def __init__(self, capacity: int):
        self.capacity, self.filled, self.place = capacity, 0, 0
        self.rows: list[Tensor] = []
        self.edits: list[scenes.Edit] = [None] * capacity  # type: ignore[list-item]
        self.weights = torch.zeros(capacity)

    def put(self, edits, *parts: Tensor) -> None:
        if not self.rows:
            self.rows = [torch.empty(self.capacity, *part.shape[1:], dtype=part.dtype) for part in parts]
        at = (torch.arange(len(edits)) + self.place) % self.capacity
        for row, part in zip(self.rows, parts, strict=True):
            row[at] = part
        for i, edit in zip(at.tolist(), edits, strict=True):
            self.edits[i], self.weights[i] = edit, shown(edit)
        self.place = (self.place + len(edits)) % self.capacity
        self.filled = min(self.capacity, self.filled + len(edits))

    def sample(self, count: int) -> tuple[list[scenes.Edit], list[Tensor]]:
        chosen = torch.multinomial(self.weights[: self.filled], count, replacement=True)
        return [self.edits[i] for i in chosen.tolist()], [row[chosen] for row in self.rows]


class Pool:
    """Pairs, and single pictures with a part to be painted, drawn from the training seeds.

    Rows of `pairs` and of `singles`: latent of the goal, latent of what is given, loss weight, mask, the last two
    (B, 1, h, w).
    """

    def __init__(self, autoencoder: TinyAutoencoder, drawn: int = 0, first_fill: int = 2048):
        self.autoencoder, self.drawn = autoencoder, drawn
        self.pairs, self.singles = Ring(CAPACITY), Ring(CAPACITY // SINGLES)
        self.tasks, self.shares = list(SHARES), torch.tensor(list(SHARES.values()))
        while self.pairs.filled < first_fill:
            self.add(32)

    def add(self, count: int) -> None:
        """Draw, encode and keep `count` new pairs."""
        seeds = range(FIRST_SEED + self.drawn, FIRST_SEED + self.drawn + count)
        tasks = torch.multinomial(self.shares, count, replacement=True).tolist()
        examples = [scenes.make(seed, task=self.tasks[t]) for seed, t in zip(seeds, tasks, strict=True)]
        goal, given = encode_pairs(self.autoencoder, examples)
        weight = loss_weight(examples)
        mask = torch.zeros_like(weight)
        mask[..., mask.shape[-1] // 2 :] = 1
        self.pairs.put([e.edit for e in examples], goal, given, weight, mask)
        self._add_singles(examples[::SINGLES])
        self.drawn += count

    def _add_singles(self, examples) -> None:
        whole = to_tensor([e.target for e in examples])
        mask = boxes(np.random.default_rng(FIRST_SEED + self.drawn), len(examples), scenes.PANEL)
        latents = encode(self.autoencoder, torch.cat([whole, torch.lerp(whole, torch.full_like(whole, 0.5), mask)]))
        cells = mask[:, :, ::8, ::8]
        weight = torch.lerp(torch.tensor(KEPT_WEIGHT), torch.tensor(2.0), cells)
        self.singles.put([e.edit for e in examples], *latents.chunk(2), weight, cells)
