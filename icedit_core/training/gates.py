"""The router in training: a gradient for it at any top-k, a loss that spreads the tokens, and a count of who gets them.

Why: docs/router.md.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..adapters.moe import Gating, top_k_gates


def straight_through_gates(logits: Tensor, top_k: int) -> Tensor:
    """The published gates, bit for bit, with the gradient of softmax(logits) at the experts picked.

    At top-1 the published gate is the constant 1 and its gradient 0; here the router is told, through the probability
    of the expert it picked, whether that expert helped. With all experts picked both are the same function.

    Args:
        logits: (..., experts).
        top_k: 1 .. experts.
    Returns:
        gates: (..., experts).
    Source: straight-through estimator, Bengio et al., arXiv 1308.3432; Switch Transformer, arXiv 2101.03961,
        section 2.1, multiplies by that probability, which files read by others cannot ask for.
    """
    gates = top_k_gates(logits.detach(), top_k)
    probabilities = logits.softmax(dim=-1).to(logits.dtype)
    return gates + (probabilities - probabilities.detach()) * (gates > 0)


GATES: dict[str, Gating] = {"published": top_k_gates, "straight_through": straight_through_gates}


def balance(probabilities: Tensor, kept: Tensor) -> Tensor:
    """Load-balance loss of one layer: E * sum_i f_i P_i; 1 for tokens spread evenly, E for one expert with all.

    Args:
        probabilities: (E,) P, the mean over tokens of softmax(logits).
        kept: (E,) tokens that each expert got; f is its share of them. No gradient flows through f.
    Source: Switch Transformer, arXiv 2101.03961, equations 4-6.
    """
    return len(kept) * (kept / kept.sum() * probabilities).sum()


class Watched(nn.Module):
    """A gating that remembers how the last call spread its tokens.

    A module, and nothing but two tensors stored: so it can stand in a compiled block, and a block that gradient
    checkpointing runs again does again exactly what it did.

    Args:
        gating: makes the gates.
        differentiable: whether `probabilities` carries a gradient; only the balance loss needs it.
    """

    def __init__(self, gating: Gating, differentiable: bool):
        super().__init__()
        self.gating, self.differentiable = gating, differentiable
        self.probabilities: Tensor | None = None
        self.kept: Tensor | None = None

    def forward(self, logits: Tensor, top_k: int) -> Tensor:
        gates = self.gating(logits, top_k)
        seen = logits if self.differentiable else logits.detach()
        self.probabilities = seen.float().softmax(dim=-1).flatten(0, -2).mean(dim=0)
        self.kept = (gates.detach() > 0).flatten(0, -2).sum(dim=0)
        return gates

    def take(self) -> tuple[Tensor, Tensor] | None:
        """(probabilities, kept) of the last call, each (E,), once: the graph behind them must not live on here."""
        if self.probabilities is None or self.kept is None:
            return None
        taken = self.probabilities, self.kept
        self.probabilities = self.kept = None
        return taken
