"""A rolling pool of encoded pairs, so that drawing and encoding cost a fraction of a training step."""

import scenes
import torch
import torch.nn.functional as F
from autoencoder import TinyAutoencoder, diptychs
from torch import Tensor

CAPACITY = 8192
EDIT_WEIGHT, LEFT_WEIGHT = 5.0, 0.1
FIRST_SEED = 10_000_000
SHARES = {"recolour": 0.18, "remove": 0.12, "add": 0.18, "swap": 0.2, "background": 0.2, "style": 0.12}


def loss_weight(examples) -> Tensor:
    """(B, 1, H/8, W/8): low on the left panel, high where the edit changes something."""
    changed = torch.stack([torch.from_numpy(scenes.changed_pixels(e.source, e.target)) for e in examples])
    right = 1 + (EDIT_WEIGHT - 1) * F.max_pool2d(changed[:, None].float(), 8)
    return torch.cat([torch.full_like(right, LEFT_WEIGHT), right], dim=3)


@torch.no_grad()
def encode(autoencoder: TinyAutoencoder, examples) -> tuple[Tensor, Tensor]:
    """Latents of source|target and of source|grey, each encoded as one diptych as the host does."""
    sources = [e.source for e in examples]
    both = torch.cat([diptychs(sources, [e.target for e in examples]), diptychs(sources, None)])
    with torch.autocast("cpu", torch.bfloat16):
        latent = autoencoder.encode(both.contiguous(memory_format=torch.channels_last)).float().contiguous()
    return tuple(latent.chunk(2))


class Pool:
    """Pairs drawn from the training seeds; the oldest leave first."""

    def __init__(self, autoencoder: TinyAutoencoder, tokenizer, drawn: int = 0, first_fill: int = 2048):
        self.autoencoder, self.tokenizer, self.drawn, self.filled = autoencoder, tokenizer, drawn, 0
        self.rows: list[Tensor] = []
        self.tasks = list(SHARES)
        self.shares = torch.tensor(list(SHARES.values()))
        while self.filled < first_fill:
            self.add(32)

    def add(self, count: int) -> None:
        """Draw, encode and keep `count` new pairs; CAPACITY must be a multiple of it."""
        seeds = range(FIRST_SEED + self.drawn, FIRST_SEED + self.drawn + count)
        tasks = torch.multinomial(self.shares, count, replacement=True).tolist()
        examples = [scenes.make(seed, task=self.tasks[t]) for seed, t in zip(seeds, tasks, strict=True)]
        fresh = [*encode(self.autoencoder, examples), loss_weight(examples)]
        fresh.append(self.tokenizer([e.instruction for e in examples]))
        if not self.rows:
            self.rows = [torch.empty(CAPACITY, *part.shape[1:], dtype=part.dtype) for part in fresh]
        place = self.drawn % CAPACITY if self.filled == CAPACITY else self.filled
        place = place - place % count
        for row, part in zip(self.rows, fresh, strict=True):
            row[place : place + count] = part
        self.drawn, self.filled = self.drawn + count, max(self.filled, place + count)

    def sample(self, count: int) -> list[Tensor]:
        """Latents of target and condition, loss weight and words of `count` pairs."""
        chosen = torch.randint(self.filled, (count,))
        return [row[chosen] for row in self.rows]
