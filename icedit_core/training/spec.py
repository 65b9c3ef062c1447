"""Which layers of FLUX are trained, and how: rank, experts, gates."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic.dataclasses import dataclass
from torch import nn

from .fields import RULES, Number, Text, Whole
from .gates import GATES

PLAIN = (
    "x_embedder",
    "transformer_blocks.*.norm1.linear",
    "transformer_blocks.*.attn.to_q",
    "transformer_blocks.*.attn.to_k",
    "transformer_blocks.*.attn.to_v",
    "transformer_blocks.*.attn.to_out.0",
    "single_transformer_blocks.*.norm.linear",
    "single_transformer_blocks.*.proj_mlp",
    "single_transformer_blocks.*.attn.to_q",
    "single_transformer_blocks.*.attn.to_k",
    "single_transformer_blocks.*.attn.to_v",
)
ROUTED = ("transformer_blocks.*.ff.net.2", "single_transformer_blocks.*.proj_out")


@dataclass(frozen=True, config=RULES)
class AdapterSpec:
    """What is trained; the defaults are the published training's.

    rank, alpha: of every update, scale = alpha / rank.
    experts: of each routed layer; 0 gives the routed layers plain LoRA, as the published "normal LoRA" has it.
    top_k: experts per token.
    plain, routed: layers by name in diffusers' naming; `*` stands for one part of a name.
    router_gradient: "published" (none at top-1) or "straight_through"; see docs/router.md.
    balance: weight of the load-balance loss, 0 is off; Switch Transformer uses 0.01.

    lora_A starts normal with deviation 1 / rank, lora_B at 0, the router as torch's Linear.
    """

    rank: Whole = 32
    alpha: Number = 32.0
    experts: Whole = 4
    top_k: Whole = 1
    plain: tuple[Text, ...] = PLAIN
    routed: tuple[Text, ...] = ROUTED
    router_gradient: Text = "published"
    balance: Number = 0.0

    def __post_init__(self) -> None:
        needs = {
            "rank": (self.rank >= 1, "a whole number from 1"),
            "alpha": (self.alpha > 0, "a number above 0"),
            "experts": (self.experts >= 0, "a whole number from 0"),
            "top_k": (1 <= self.top_k <= max(self.experts, 1), "a whole number from 1 to experts"),
            "router_gradient": (self.router_gradient in GATES, " or ".join(map(repr, GATES))),
            "balance": (self.balance >= 0, "a number from 0"),
            "plain": (bool(self.plain or self.routed), "at least one layer, here or in routed"),
        }
        for name, (fits, need) in needs.items():
            if not fits:
                raise ValueError(f"{name} is {getattr(self, name)!r}, but {need} is needed.")

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


def find_layers(transformer: nn.Module, spec: AdapterSpec) -> tuple[list[str], list[str]]:
    """Names of the layers that get plain LoRA, and of those that get experts.

    Raises:
        ValueError: a pattern fits no Linear layer, or a layer is both.
    """
    linears = [name for name, module in transformer.named_modules() if isinstance(module, nn.Linear)]
    plain, routed = (_matching(patterns, linears) for patterns in (spec.plain, spec.routed))
    if both := sorted(set(plain) & set(routed)):
        raise ValueError(
            f"Adapter: {both[0]} is in plain and in routed, but a layer can be one of them only. Remove it from one."
        )
    return (plain, routed) if spec.experts else (plain + routed, [])


def _matching(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    found: dict[str, None] = {}
    for pattern in patterns:
        expression = re.compile(re.escape(pattern).replace(r"\*", r"[^.]+"))
        fitting = [name for name in names if expression.fullmatch(name)]
        if not fitting:
            raise ValueError(
                f"Adapter: {pattern!r} fits no Linear layer of the model, but names in diffusers' naming are needed, "
                f"`*` for one part, such as {ROUTED[0]!r}. Correct it."
            )
        found |= dict.fromkeys(fitting)
    return list(found)
