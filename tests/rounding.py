"""The one rule for how far a result may lie from what it is compared with, on any processor.

Processors round differently: the recorded FLUX case lies 8.6e-6 (relative) from a float64 run on the Xeon that
recorded it, 3.4e-7 on an AMD EPYC, and on either the other's figure is an error. So no bound may be what one processor
happens to show. Which comparison takes which bound:

- The same work twice on one machine: the same bits, `torch.equal`. Sums of a few numbers: assert_close's own bounds.
- Float64 against an equation in float64: `EQUATION`.
- Float32 against a recording or another order of the same sums: `FLOAT32`, or twice what the untouched base shows.
- Routed layers in a coarse type: a token whose picks are within the type's rounding may have the next expert instead;
  such tokens are counted, and all others have to match (`compare_routed`).
"""

from dataclasses import dataclass

import torch

EQUATION = 1e-9
FLOAT32 = 3e-5
BROKEN_BASE = 3e-4  # ten times what any processor showed: a base farther off is wrong, or computes in less than float32
MOST_TIES = 0.1  # of a layer's tokens; with more, a comparison says little


def error(got, expected):
    """Relative error in the 2-norm, summed in float64."""
    assert got.shape == expected.shape, f"{tuple(got.shape)}, but {tuple(expected.shape)} is expected"
    got, expected = got.detach().double(), expected.detach().double()
    if not expected.any():
        return float("inf") if got.any() else 0.0
    return float((got - expected).norm() / expected.norm())


def bound(base=0.0):
    """Upper bound of a float32 error, where the untouched base shows the error `base` on this machine."""
    assert base < BROKEN_BASE, f"the untouched base is off by {base:.1e}: it is wrong, not rounded"
    return max(FLOAT32, 2 * base)


def assert_rounded(got, expected, base=0.0, about=""):
    """`got` is `expected` but for float32 rounding; `base`: the untouched base's error on this machine, if measured."""
    found = error(got, expected)
    assert found < bound(base), f"{about}: off by {found:.1e}, more than {bound(base):.1e}"


def assert_equation(got, expected, about=""):
    """Both in float64, so that only a wrong equation can tell them apart."""
    assert got.dtype == expected.dtype == torch.float64
    found = error(got, expected)
    assert found < EQUATION, f"{about}: off by {found:.1e}, more than {EQUATION:.0e}"


def near_ties(logits, top_k, dtype):
    """Tokens whose last pick leads the next expert by no more than both logits' rounding.

    Args:
        logits: (..., experts), computed finer than `dtype`.
        top_k: experts picked per token.
        dtype: what the layer computes its logits in; each may be off by a unit in the last place.
    Returns:
        (...) bool.
    """
    if top_k == logits.shape[-1]:
        return torch.zeros(logits.shape[:-1], dtype=torch.bool)
    last, following = logits.topk(top_k + 1, dim=-1).values[..., -2:].unbind(-1)
    return last - following <= 2 * torch.finfo(dtype).eps * logits.abs().amax(-1)


@dataclass(frozen=True)
class Routed:
    """`error` of a routed update, near ties compared with the nearer of their two answers; how many `ties` there are,
    and how many of them took the `other` expert."""

    error: float
    ties: int
    other: int


def compare_routed(got, expected, other, logits, top_k, dtype):
    """Compare a routed layer's update with the equation's, allowing the other pick to near ties alone.

    Args:
        got, expected: (..., out).
        other: (..., out), the equation with each token's last pick replaced by the next expert.
        logits, top_k, dtype: as `near_ties` takes them.
    """
    ties = near_ties(logits, top_k, dtype)
    assert ties.float().mean() < MOST_TIES, f"{int(ties.sum())} of {ties.numel()} tokens are near ties"
    took_other = ties & ((got - other).norm(dim=-1) < (got - expected).norm(dim=-1))
    answer = torch.where(took_other.unsqueeze(-1), other, expected)
    return Routed(error(got, answer), int(ties.sum()), int(took_other.sum()))
