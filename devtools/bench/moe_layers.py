"""The Linears of one double and one single FLUX block, with the published adapter put on in five ways."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from icedit_core.adapters.moe import MoELoRA
from icedit_core.adapters.weights import LowRank, Routed

RANK, EXPERTS, TOP_K = 32, 4, 1
LAYERS = {  # name: (in, out) in widths, whether it has experts; the modulations see one token
    "img_mod_lin": (1, 6, False),
    "img_attn_qkv": (1, 3, False),
    "img_attn_proj": (1, 1, False),
    "img_mlp_0": (1, 4, False),
    "img_mlp_2": (4, 1, True),
    "modulation_lin": (1, 3, False),
    "linear1": (1, 7, False),
    "linear2": (5, 1, True),
}
WITHOUT_LORA = ("img_mlp_0",)
ONE_TOKEN = ("img_mod_lin", "modulation_lin")


@dataclass(frozen=True)
class Case:
    """One point of the table."""

    width: int
    tokens: int
    dtype: torch.dtype

    @property
    def key(self) -> str:
        return f"{self.width}/{self.tokens}/{str(self.dtype).removeprefix('torch.')}"


class BlockSet:
    """Random weights and inputs of one case, and the ways to run them.

    `merged` and `peft` have a plain LoRA of the same rank on every layer, also where the others have experts.
    """

    def __init__(self, case: Case, device: torch.device):
        draw = torch.Generator().manual_seed(case.width)

        def random(*shape: int, scale: float = 1.0) -> Tensor:
            return (torch.randn(shape, generator=draw) * scale).to(device, case.dtype)

        width = case.width
        self.base, self.inputs, self.routed, self.ours = nn.ModuleDict(), {}, {}, {}
        shared: dict[int, Tensor] = {}
        for name, (ins, outs, has_experts) in LAYERS.items():
            wide, out = ins * width, outs * width
            linear = nn.Linear(wide, out, device="meta", dtype=case.dtype)
            linear.weight = nn.Parameter(random(out, wide, scale=wide**-0.5), requires_grad=False)
            linear.bias = nn.Parameter(random(out), requires_grad=False)
            self.base[name] = linear
            if name in ONE_TOKEN:
                self.inputs[name] = random(1, wide)
            else:
                self.inputs[name] = shared.setdefault(wide, random(1, case.tokens, wide))
            if has_experts:
                pairs = tuple(
                    LowRank(random(RANK, wide, scale=wide**-0.5), random(out, RANK, scale=0.05)) for _ in range(EXPERTS)
                )
                self.routed[name] = Routed(random(EXPERTS, wide, scale=wide**-0.5), pairs)
                self.ours[name] = MoELoRA(self.routed[name], TOP_K, case.dtype).to(device)
        self.merged = {name: layer.weight.clone() for name, layer in self.base.items()}
        self.unmerged = _by_peft(nn.ModuleDict(dict(self.base.items())), case.dtype)

    def adapter_mib(self) -> float:
        return sum(p.numel() * p.element_size() for layer in self.ours.values() for p in layer.parameters()) / 2**20

    def ways(self):
        def run(layer_of):
            def way():
                for name, x in self.inputs.items():
                    layer_of(name, x)

            return way

        ways = {
            "base": run(lambda name, x: self.base[name](x)),
            "merged": run(self._plain),
            "ours": run(self._ours),
            "loop": run(self._loop),
        }
        if self.unmerged is not None:
            ways["peft"] = run(lambda name, x: self.unmerged[name](x))
        return ways

    def _plain(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.merged[name], self.base[name].bias)

    def _ours(self, name: str, x: Tensor) -> Tensor:
        y = self._plain(name, x)
        return self.ours[name].add_to(y, x) if name in self.ours else y

    def _loop(self, name: str, x: Tensor) -> Tensor:
        """y = base(x) + sum_i gates_i * (alpha / r) * B_i (A_i x), expert by expert, as the paper writes it."""
        y = self._plain(name, x)
        if name not in self.routed:
            return y
        routed = self.routed[name]
        kept, index = F.linear(x, routed.router).topk(TOP_K, dim=-1)
        gates = torch.zeros(*x.shape[:-1], EXPERTS, dtype=x.dtype, device=x.device)
        gates.scatter_(-1, index, kept.softmax(dim=-1))
        for i, expert in enumerate(routed.experts):
            y = y + gates[..., i : i + 1] * expert.scale * F.linear(F.linear(x, expert.down), expert.up)
        return y


def _by_peft(layers: nn.ModuleDict, dtype: torch.dtype) -> nn.Module | None:
    """A plain LoRA beside every layer; None where peft is not installed."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        return None
    targets = [name for name in LAYERS if name not in WITHOUT_LORA]
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=targets, init_lora_weights=False)
    return inject_adapter_in_model(config, layers).to(dtype)
