"""The Linears of one double and one single FLUX block, with the published adapter put on in several ways."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from icedit_core.adapters.moe import MoELoRA
from icedit_core.adapters.weights import LowRank, Routed

from . import moe_timing

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

    @property
    def flops(self) -> float:
        """Of the base's layers that see all tokens."""
        each = sum(wide * out for name, (wide, out, _) in LAYERS.items() if name not in ONE_TOKEN)
        return 2.0 * self.tokens * self.width**2 * each


class BlockSet:
    """Random weights and inputs of one case, and the ways to run them.

    `merged` and `peft` have a plain LoRA of the same rank on every layer, also where `ours` and `loop` have experts,
    and none of theirs is merged; all four read the same layers' weights.
    """

    def __init__(self, case: Case, device: torch.device):
        draw = torch.Generator().manual_seed(case.width)

        def random(*shape: int, scale: float = 1.0) -> Tensor:
            return (torch.randn(shape, generator=draw) * scale).to(device, case.dtype)

        def pair(wide: int, out: int) -> LowRank:
            return LowRank(random(RANK, wide, scale=wide**-0.5), random(out, RANK, scale=0.05))

        self.case, self.device = case, device
        self.base = nn.ModuleDict()
        self.inputs: dict[str, Tensor] = {}
        self.plain: dict[str, LowRank] = {}
        self.routed: dict[str, Routed] = {}
        shared: dict[int, Tensor] = {}
        for name, (ins, outs, has_experts) in LAYERS.items():
            wide, out = ins * case.width, outs * case.width
            linear = nn.Linear(wide, out, device="meta", dtype=case.dtype)
            linear.weight = nn.Parameter(random(out, wide, scale=wide**-0.5), requires_grad=False)
            linear.bias = nn.Parameter(random(out), requires_grad=False)
            self.base[name] = linear
            if name in ONE_TOKEN:
                self.inputs[name] = random(1, wide)
            else:
                self.inputs[name] = shared.setdefault(wide, random(1, case.tokens, wide))
            if name not in WITHOUT_LORA:
                self.plain[name] = pair(wide, out)
            if has_experts:
                experts = tuple(pair(wide, out) for _ in range(EXPERTS))
                self.routed[name] = Routed(random(EXPERTS, wide, scale=wide**-0.5), experts)
        self.load_ms: dict[str, float] = {}
        self.merged = self._loaded("merged", self._merge)
        self.ours = self._loaded("ours", self._fuse)
        peft = _peft()  # None where it is not installed
        self.unmerged = self._loaded("peft", lambda: self._by_peft(peft)) if peft else None

    def _loaded(self, way: str, load: Callable):
        """What a way makes of the adapter's matrices before its first step; the processor's time for it is kept."""
        made: list = []
        taken = moe_timing.timed(lambda: made.append(load()), self.device)
        self.load_ms[way] = round(1000 * (taken.work if self.device.type == "cpu" else taken.clock), 1)
        return made[0]

    def _merge(self) -> dict[str, Tensor]:
        return {
            name: torch.addmm(layer.weight, self.plain[name].up, self.plain[name].down)
            if name in self.plain
            else layer.weight
            for name, layer in self.base.items()
        }

    def _fuse(self) -> dict[str, MoELoRA]:
        return {name: MoELoRA(routed, TOP_K, self.case.dtype) for name, routed in self.routed.items()}

    def _by_peft(self, peft: ModuleType) -> nn.Module:
        """A plain LoRA beside every layer."""
        config = peft.LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(self.plain), init_lora_weights=False)
        layers = peft.inject_adapter_in_model(config, nn.ModuleDict(dict(self.base.items()))).to(self.case.dtype)
        for name, pair in self.plain.items():
            layers[name].lora_A["default"].weight.data.copy_(pair.down)
            layers[name].lora_B["default"].weight.data.copy_(pair.up)
        return layers

    def adapter_mib(self) -> float:
        return sum(p.numel() * p.element_size() for layer in self.ours.values() for p in layer.parameters()) / 2**20

    def ways(self) -> dict[str, Callable[[], None]]:
        def run(layer):
            def way():
                for name, x in self.inputs.items():
                    layer(name, x)

            return way

        return {name: run(layer) for name, layer in self.layers().items()}

    def layers(self) -> dict[str, Callable[[str, Tensor], Tensor]]:
        """Way -> (layer's name, its input) -> its output."""
        ways = {
            "base": lambda name, x: self.base[name](x),
            "merged": lambda name, x: F.linear(x, self.merged[name], self.base[name].bias),
            "ours": self._ours,
            "loop": self._loop,
            "moved": self._moved,
        }
        if self.unmerged is not None:
            ways["peft"] = lambda name, x: self.unmerged[name](x)
        return ways

    def _ours(self, name: str, x: Tensor) -> Tensor:
        y = self.base[name](x)
        return self.ours[name].add_to(y, x) if name in self.ours else y

    def _loop(self, name: str, x: Tensor) -> Tensor:
        """y = base(x) + sum_i gates_i * (alpha / r) * B_i (A_i x), expert by expert, as the paper writes it."""
        y = self.base[name](x)
        if name not in self.routed:
            return y
        routed = self.routed[name]
        kept, index = F.linear(x, routed.router).topk(TOP_K, dim=-1)
        gates = torch.zeros(*x.shape[:-1], EXPERTS, dtype=x.dtype, device=x.device)
        gates.scatter_(-1, index, kept.softmax(dim=-1))
        for i, expert in enumerate(routed.experts):
            y = y + gates[..., i : i + 1] * expert.scale * F.linear(F.linear(x, expert.down), expert.up)
        return y

    def _moved(self, name: str, x: Tensor) -> Tensor:
        """Each token through its own expert only, the tokens of one expert side by side; for one expert per token."""
        y = self.base[name](x)
        if name not in self.routed:
            return y
        routed, tokens, flat = self.routed[name], x.flatten(0, -2), y.view(-1, y.shape[-1])
        expert_of = F.linear(tokens, routed.router).argmax(dim=-1)
        for i, expert in enumerate(routed.experts):
            index = (expert_of == i).nonzero().squeeze(-1)
            hidden = F.linear(tokens.index_select(0, index), expert.down) * expert.scale
            flat.index_add_(0, index, F.linear(hidden, expert.up))
        return y


def _peft() -> ModuleType | None:
    try:
        return importlib.import_module("peft")
    except ImportError:
        return None
