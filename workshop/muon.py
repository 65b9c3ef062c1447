"""Muon beside AdamW: orthogonalised momentum for matrices and convolutions, AdamW for everything else.

Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); the step is scaled by
0.2 sqrt(max side), so that its size is that of an AdamW step (Liu et al., arXiv 2502.16982).
"""

from collections import defaultdict

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(x: Tensor, steps: int = 4) -> Tensor:
    """Push the singular values of a stack of matrices (N, rows, columns) towards 1 (Newton-Schulz)."""
    a, b, c = _COEFFICIENTS
    x = x.bfloat16()
    tall = x.size(-2) > x.size(-1)
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum; matrices of one shape are orthogonalised together."""

    def __init__(self, params, lr: float, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            by_shape = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    by_shape[tuple(p.shape)].append(p)
            for params in by_shape.values():
                self._step_alike(params, group["lr"], group["momentum"])

    def _step_alike(self, params: list[Tensor], lr: float, momentum: float) -> None:
        updates = []
        for p in params:
            buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
            buffer.lerp_(p.grad, 1 - momentum)
            updates.append(p.grad.lerp(buffer, momentum).flatten(1))
        stacked = orthogonalise(torch.stack(updates))
        scale = 0.2 * max(stacked.shape[-2:]) ** 0.5
        for p, update in zip(params, stacked, strict=True):
            p.add_(update.view(p.shape).to(p.dtype), alpha=-lr * scale)


def set_lr(optimisers, factor: float) -> None:
    """Scale every group's rate to `factor` of its start."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = factor * group.setdefault("base_lr", group["lr"])


def resume(optimiser: torch.optim.Optimizer, saved: dict) -> None:
    """Take over a saved state, at the rates of now: the file's are those of its own run."""
    rates = [group["lr"] for group in optimiser.param_groups]
    optimiser.load_state_dict(saved)
    for group, rate in zip(optimiser.param_groups, rates, strict=True):
        group["base_lr"] = rate
