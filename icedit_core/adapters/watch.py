"""Look at what routers decide, for as long as somebody looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor

from .moe import Gating, MoELoRA


@contextmanager
def watched(layers: Iterable[MoELoRA]) -> Iterator[dict[MoELoRA, list[Tensor]]]:
    """Keep the gates of every call of some layers, and leave the layers as they were, also after an exception.

    Yields:
        layer -> for each call its gates (..., experts), float32 on the CPU; filled while the layers are called.
    """
    seen: dict[MoELoRA, list[Tensor]] = {layer: [] for layer in layers}
    before = {layer: layer.gating for layer in seen}

    def watching(layer: MoELoRA, gating: Gating) -> Gating:
        def gates(logits: Tensor, top_k: int) -> Tensor:
            made = gating(logits, top_k)
            seen[layer].append(made.detach().float().cpu())
            return made

        return gates

    try:
        for layer, gating in before.items():
            layer.gating = watching(layer, gating)
        yield seen
    finally:
        for layer, gating in before.items():
            layer.gating = gating
