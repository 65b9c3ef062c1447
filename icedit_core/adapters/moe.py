"""The LoRA-MoE layer: a router picks experts per token, their low-rank updates are added to the layer's output."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .weights import LowRank, Routed

Gating = Callable[[Tensor, int], Tensor]
"""(router's logits (..., experts), experts per token) -> gates (..., experts), 0 for an expert that is not picked."""


def top_k_gates(logits: Tensor, top_k: int) -> Tensor:
    """Softmax over the `top_k` largest logits of each token, 0 elsewhere.

    Args:
        logits: (..., experts).
        top_k: 1 .. experts; at 1 the gate is exactly 1.
    Returns:
        gates: (..., experts), each token's sum is 1.
    Source: ICEdit, arXiv 2504.20690, equations 4-5; the published MoE layer.
    """
    kept, index = logits.topk(top_k, dim=-1)
    return torch.zeros_like(logits).scatter(-1, index, kept.softmax(dim=-1).to(logits.dtype))


class MoELoRA(nn.Module):
    """Router and experts of one Linear layer.

    All experts' matrices lie side by side, so one product gives every expert's hidden, the gates weigh that narrow
    hidden, and one product brings the sum out: no (tokens x out) temporary per expert. The weights are frozen; a
    training asks for their gradients with `requires_grad_()` and hands in its own gating where it wants another one.

    Args:
        routed: the layer's weights; copied, so the source may go.
        top_k: experts per token, 1 .. experts.
        dtype: what the weights are stored and computed in.
        gating: makes gates of the router's logits.
    Raises:
        ValueError: top_k out of range.
    Source: ICEdit, arXiv 2504.20690, section 3.3: y = base(x) + sum_i gates_i * (alpha / r) * B_i (A_i x).
    """

    def __init__(self, routed: Routed, top_k: int = 1, dtype: torch.dtype | None = None, gating: Gating = top_k_gates):
        super().__init__()
        count = len(routed.experts)
        if not 1 <= top_k <= count:
            raise ValueError(
                f"ICEdit adapter: top_k is {top_k}, but the layer has {count} experts. Use 1 to {count}, or 0 for the "
                "file's own."
            )
        self.num_experts, self.top_k, self.gating = count, top_k, gating
        down = torch.cat([expert.down for expert in routed.experts])  # (E r, in)
        up = torch.cat([_folded(expert.up, expert.scale) for expert in routed.experts], dim=1)  # (out, E r)
        self.router = nn.Parameter(routed.router.to(dtype, copy=True), requires_grad=False)
        self.down = nn.Parameter(down.to(dtype), requires_grad=False)
        self.up = nn.Parameter(up.to(dtype), requires_grad=False)

    @property
    def in_features(self) -> int:
        return self.down.shape[1]

    @property
    def out_features(self) -> int:
        return self.up.shape[0]

    def logits(self, x: Tensor) -> Tensor:
        """Router scores of tokens x (..., in) -> (..., experts)."""
        return F.linear(x, _as(self.router, x))

    def hidden(self, x: Tensor) -> Tensor:
        """Gated hidden of tokens x (..., in) -> (..., experts * rank)."""
        gates = self.gating(self.logits(x), self.top_k)
        hidden = F.linear(x, _as(self.down, x)).unflatten(-1, (self.num_experts, -1))  # (..., E, r)
        return (hidden * gates.unsqueeze(-1)).flatten(-2)

    def forward(self, x: Tensor, strength: float = 1.0) -> Tensor:
        """The update for tokens x (..., in) -> (..., out), to be added to the layer's output."""
        return F.linear(self.hidden(x) * strength, _as(self.up, x))

    def add_to(self, y: Tensor, x: Tensor, strength: float = 1.0) -> Tensor:
        """Accumulate the update of tokens x (..., in) into the layer's fresh output y (..., out), in place."""
        hidden = self.hidden(x).flatten(0, -2).to(y.dtype)
        y.view(-1, y.shape[-1]).addmm_(hidden, _as(self.up, y).t(), alpha=strength)
        return y

    def routed(self, alpha: float | None = None) -> Routed:
        """The weights as the constructor takes them; with `alpha`, still to be multiplied by alpha / rank."""
        downs, ups = self.down.detach().chunk(self.num_experts), self.up.detach().chunk(self.num_experts, dim=1)
        pairs = zip(downs, ups, strict=True)
        return Routed(self.router.detach(), tuple(LowRank(down, up, alpha) for down, up in pairs))


def _folded(up: Tensor, scale: float) -> Tensor:
    return up if scale == 1.0 else (up.float() * scale).to(up.dtype)


def _as(weight: Tensor, x: Tensor) -> Tensor:
    return weight.to(device=x.device, dtype=x.dtype)
