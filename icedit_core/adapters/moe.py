"""The LoRA-MoE layer: a router picks experts per token, their low-rank updates are added to the layer's output."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

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


def softmax_then_top_k_gates(logits: Tensor, top_k: int) -> Tensor:
    """Softmax over all logits of each token, of which the `top_k` largest are kept as they are, 0 elsewhere.

    Args:
        logits: (..., experts).
        top_k: 1 .. experts.
    Returns:
        gates: (..., experts), each token's sum is at most 1.
    Source: X2Edit, arXiv 2508.07607; its published MoE layer.
    """
    kept, index = logits.softmax(dim=-1).topk(top_k, dim=-1)
    return torch.zeros_like(logits).scatter(-1, index, kept.to(logits.dtype))


GATINGS: dict[str, Gating] = {
    "top_k_then_softmax": top_k_gates,
    "softmax_then_top_k": softmax_then_top_k_gates,
}


class MoELoRA(nn.Module):
    """Router and experts of one Linear layer.

    Router and all experts' A lie side by side, so one product reads the tokens once and gives logits and every
    expert's hidden; the gates weigh that narrow hidden, and one product brings the sum out: no (tokens x out)
    temporary per expert. The matrices are kept as the products take them, (in, .) and (., out): on a CPU in float32
    that is 15 to 25 % faster than three products with the files' layout. They are frozen; a training asks for their
    gradients with `requires_grad_()` and hands in its own gating where it wants another one.

    Args:
        routed: the layer's weights; copied, so the source may go.
        top_k: experts per token, 1 .. experts.
        dtype: what the weights are stored and computed in.
        gating: makes gates of the router's logits, by default as the weights say; a shared expert has none. It is
            looked up at every call, so that the gates can be watched.
        context: (router's columns - in,) what the router reads after the token, the same for all tokens.
    Raises:
        ValueError: top_k out of range, or a router that does not read the token and the context.
    Source: ICEdit, arXiv 2504.20690, section 3.3: y = base(x) + sum_i gates_i * (alpha / r) * B_i (A_i x).
    """

    bias: Tensor | None

    def __init__(
        self,
        routed: Routed,
        top_k: int = 1,
        dtype: torch.dtype | None = None,
        gating: Gating | None = None,
        context: Tensor | None = None,
    ):
        super().__init__()
        count, wide = len(routed.experts), routed.experts[0].down.shape[1]
        if not 1 <= top_k <= count:
            raise ValueError(
                f"ICEdit adapter: top_k is {top_k}, but the layer has {count} experts. Use 1 to {count}, or 0 for the "
                "file's own."
            )
        self.num_experts, self.rank, self.top_k = count, routed.rank, top_k
        self.gating = gating or GATINGS[routed.gates]
        pairs = (*routed.experts, *([routed.shared] if routed.shared else []))
        inner = torch.cat([part.to(dtype) for part in (routed.router[:, :wide], *(pair.down for pair in pairs))])
        outer = torch.cat([_folded(pair, dtype) for pair in pairs], dim=1)
        self.inner = nn.Parameter(inner.t().contiguous(), requires_grad=False)  # (in, E + ranks)
        self.outer = nn.Parameter(outer.t().contiguous(), requires_grad=False)  # (ranks, out)
        self.register_buffer("bias", _bias(routed.router[:, wide:], context, dtype))  # (E,)

    @property
    def in_features(self) -> int:
        return self.inner.shape[0]

    @property
    def out_features(self) -> int:
        return self.outer.shape[1]

    @property
    def router(self) -> Tensor:
        """(E, in), a view: what the router makes of a token."""
        return self.inner[:, : self.num_experts].t()

    @property
    def down(self) -> Tensor:
        """(ranks, in), a view: A of the experts, then of the shared one."""
        return self.inner[:, self.num_experts :].t()

    @property
    def up(self) -> Tensor:
        """(out, ranks), a view: B of the experts, then of the shared one, times alpha / rank."""
        return self.outer.t()

    def logits(self, x: Tensor) -> Tensor:
        """Router scores of tokens x (..., in) -> (..., experts)."""
        return self._biased(x @ _as(self.router, x).t())

    def hidden(self, x: Tensor) -> Tensor:
        """Gated hidden of tokens x (..., in) -> (..., ranks)."""
        products = x @ _as(self.inner, x)
        gates = self.gating(self._biased(products[..., : self.num_experts]), self.top_k)
        end = self.num_experts * (1 + self.rank)
        routed = products[..., self.num_experts : end].unflatten(-1, (self.num_experts, self.rank))
        gated = (routed * gates.unsqueeze(-1)).flatten(-2)
        return gated if end == products.shape[-1] else torch.cat([gated, products[..., end:]], dim=-1)

    def forward(self, x: Tensor, strength: float = 1.0) -> Tensor:
        """The update for tokens x (..., in) -> (..., out), to be added to the layer's output."""
        return (self.hidden(x) * strength) @ _as(self.outer, x)

    def add_to(self, y: Tensor, x: Tensor, strength: float = 1.0) -> Tensor:
        """Accumulate the update of tokens x (..., in) into the layer's fresh output y (..., out), in place.

        `y` may be some columns of a wider output; without gradients, `x` may be `y` itself.
        """
        hidden = self.hidden(x).flatten(0, -2).to(y.dtype)
        y.view(-1, y.shape[-1]).addmm_(hidden, _as(self.outer, y), alpha=strength)
        return y

    def _biased(self, logits: Tensor) -> Tensor:
        return logits if self.bias is None else logits + _as(self.bias, logits)

    def routed(self, alpha: float | None = None) -> Routed:
        """The weights as the constructor takes them, less what a context added; with `alpha`, still to be multiplied
        by alpha / rank."""
        parts = [self.rank] * self.num_experts
        rest = self.outer.shape[0] - sum(parts)
        parts += [rest] if rest else []
        downs, ups = self.down.detach().split(parts), self.up.detach().split(parts, dim=1)
        pairs = [LowRank(down, up, alpha) for down, up in zip(downs, ups, strict=True)]
        shared = pairs[self.num_experts] if rest else None
        return Routed(self.router.detach(), tuple(pairs[: self.num_experts]), shared)


def _folded(pair: LowRank, dtype: torch.dtype | None) -> Tensor:
    """B times alpha / rank, rounded once, to what the layer computes in: a file in fp8 would lose half its digits."""
    return pair.up.to(dtype) if pair.scale == 1.0 else (pair.up.float() * pair.scale).to(dtype or pair.up.dtype)


def _bias(columns: Tensor, context: Tensor | None, dtype: torch.dtype | None) -> Tensor | None:
    """What the router makes of the context, rounded once."""
    got = 0 if context is None else context.numel()
    if columns.shape[1] != got:
        raise ValueError(
            f"ICEdit adapter: the router reads {columns.shape[1]} values after the token, but {got} are given. "
            "Hand in the context that the adapter was trained with."
        )
    return None if context is None else (columns.double() @ context.double()).to(dtype or columns.dtype)


def _as(weight: Tensor, x: Tensor) -> Tensor:
    return weight.to(device=x.device, dtype=x.dtype)
