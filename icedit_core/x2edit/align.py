"""AlignNet: hidden states of a language model become FLUX.1's text tokens and pooled vector.

Source: X2Edit, arXiv 2508.07607; the equations and names of the published `src/proj.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..adapters.names import listed

_WHO = "ICEdit AlignNet"
_MOST = 1 << 14  # of each size: what a file claims beyond it would only fill the memory
KERNEL = 5
EPS = 1e-6
KEYS = (
    "conv.weight",  # (1, states, 5, 5)
    "conv.bias",  # (1,)
    "mlp.layernorm.weight",  # (wide,)
    "mlp.layernorm.bias",  # (wide,)
    "mlp.projector.0.weight",  # (out, wide)
    "mlp.projector.2.weight",  # (out, out)
    "mlp.fc.1.weight",  # (pooled, out)
    "mlp.fc.1.bias",  # (pooled,)
)
"""Names of AlignNet's tensors in the published file, less the prefix `module.`. Published: 29 states, wide 3584, out
4096, pooled 768."""


class AlignNet(nn.Module):
    """The published projection, with its weights under their published names.

    Args:
        states: hidden states per token: the language model's layers and its embedding.
        wide: numbers in a hidden state.
        out: of a text token of FLUX.1.
        pooled: of its pooled vector.
    """

    def __init__(self, states: int = 29, wide: int = 3584, out: int = 4096, pooled: int = 768):
        super().__init__()
        self.conv = nn.Conv2d(states, 1, KERNEL, padding=KERNEL // 2)
        self.mlp = _Projection(wide, out, pooled)

    @torch.no_grad()
    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Text tokens and pooled vector of hidden states.

        Args:
            hidden: (B, states, tokens, wide).
        Returns:
            (B, tokens, out) and (B, pooled), the mean over the tokens.
        """
        return self.mlp(self.conv(hidden).squeeze(1))


class _Projection(nn.Module):
    def __init__(self, wide: int, out: int, pooled: int):
        super().__init__()
        self.layernorm = nn.LayerNorm(wide, eps=EPS)
        self.projector = nn.Sequential(nn.Linear(wide, out, bias=False), nn.GELU(), nn.Linear(out, out, bias=False))
        self.fc = nn.Sequential(nn.GELU(), nn.Linear(out, pooled))

    def forward(self, mixed: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.projector(self.layernorm(mixed))  # (B, tokens, out)
        return tokens, self.fc(tokens).mean(1)


def build(tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> AlignNet:
    """AlignNet with these weights, which are copied only where `dtype` is another one.

    Raises:
        ValueError: `check`'s.
    """
    sizes = check(tensors)
    with torch.device("meta"):
        net = AlignNet(*sizes)
    net.load_state_dict({key: tensors[key].to(dtype) for key in KEYS}, assign=True)
    return net.eval().requires_grad_(False)


def check(tensors: Mapping[str, Tensor]) -> tuple[int, int, int, int]:
    """The sizes that AlignNet's constructor takes.

    Raises:
        ValueError: tensors are missing, too many, or of shapes that do not fit each other.
    """
    if set(tensors) != set(KEYS):
        odd = sorted(set(tensors) ^ set(KEYS))
        raise ValueError(
            f"{_WHO}: {listed(odd)} are missing or too many, but its {len(KEYS)} tensors are needed. "
            "Convert X2Edit's published files again."
        )
    shapes = {key: tuple(tensors[key].shape) for key in KEYS}
    states = shapes["conv.weight"][1] if len(shapes["conv.weight"]) == 4 else 0
    wide = shapes["mlp.layernorm.weight"][0] if shapes["mlp.layernorm.weight"] else 0
    pooled, out = shapes["mlp.fc.1.weight"] if len(shapes["mlp.fc.1.weight"]) == 2 else (0, 0)
    if max(states, wide, out, pooled) > _MOST:
        raise ValueError(
            f"{_WHO}: it has the sizes {states}, {wide}, {out} and {pooled}, but at most {_MOST} is known. "
            "Convert X2Edit's published files again."
        )
    with torch.device("meta"):
        wanted = {key: tuple(value.shape) for key, value in AlignNet(states, wide, out, pooled).state_dict().items()}
    if wrong := [key for key in KEYS if shapes[key] != wanted[key] or 0 in shapes[key]]:
        words = ", ".join(f"{key} {shapes[key]}" for key in wrong)
        raise ValueError(
            f"{_WHO}: {words} do not fit its other tensors, but one network is needed. "
            "Convert X2Edit's published files again."
        )
    return states, wide, out, pooled
