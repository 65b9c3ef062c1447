"""What an adapter file holds, free of any file format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class LowRank:
    """One low-rank update: delta W = scale * up @ down.

    down: (rank, in); up: (out, rank); alpha: None means alpha = rank, so scale 1.
    """

    down: Tensor
    up: Tensor
    alpha: float | None = None

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        return 1.0 if self.alpha is None else self.alpha / self.rank

    @property
    def numel(self) -> int:
        return self.down.numel() + self.up.numel()


@dataclass(frozen=True)
class Routed:
    """Several low-rank experts of one layer and the router that picks among them per token.

    router: (experts, in), no bias; more columns where it reads something beside the token.
    shared: an expert that every token gets in full.
    gates: how gates are made of the router's logits, a name in `moe.GATINGS`.
    reads_output: router and experts read the Linear's output, not its input.
    context: what the router reads after the token, a name in the adapter's `contexts`; none reads the token alone.
    """

    router: Tensor
    experts: tuple[LowRank, ...]
    shared: LowRank | None = None
    gates: str = "top_k_then_softmax"
    reads_output: bool = False
    context: str = ""

    @property
    def rank(self) -> int:
        return self.experts[0].rank

    @property
    def numel(self) -> int:
        shared = self.shared.numel if self.shared else 0
        return self.router.numel() + sum(expert.numel for expert in self.experts) + shared


@dataclass(frozen=True)
class Adapter:
    """All updates of one file, by the layer names that the file uses.

    contexts: what routers read beside the token, by name: (choices, width), of which a node takes one row.
    """

    plain: Mapping[str, LowRank]
    routed: Mapping[str, Routed]
    contexts: Mapping[str, Tensor] = field(default_factory=dict)

    def summary(self) -> str:
        """One line for people: layers, experts, rank, parameters."""
        parts = []
        if self.plain:
            parts.append(f"{len(self.plain)} plain layers, rank {_several(u.rank for u in self.plain.values())}")
        if self.routed:
            count = _several(len(update.experts) for update in self.routed.values())
            rank = _several(update.rank for update in self.routed.values())
            parts.append(f"{len(self.routed)} routed layers of {count} experts, rank {rank}")
        total = sum(u.numel for u in self.plain.values()) + sum(u.numel for u in self.routed.values())
        return f"{'; '.join(parts)}; {total / 1e6:.2f} M parameters"


def _several(values) -> str:
    return "/".join(str(value) for value in sorted(set(values)))
