"""An adapter in training: plain LoRA by peft and routed experts on a frozen FLUX transformer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..adapters.attach import Attachment, Slot
from ..adapters.files import save as save_adapter
from ..adapters.moe import MoELoRA
from ..adapters.readers import read
from ..adapters.weights import Adapter, LowRank, Routed
from ..adapters.writers import write
from .gates import GATES, Watched, balance
from .spec import AdapterSpec, find_layers

__all__ = ["AdapterSpec", "Trainable", "save_adapter"]

PREFIX = "transformer."
_PEFT_NAME = "default"


class Trainable(nn.Module):
    """A frozen FLUX transformer and the adapter that is trained on it.

    The experts are in force from here until `detach`, also while a checkpointed block runs again in the backward pass.
    Weights of the adapter are float32 whatever the transformer's are.

    Args:
        transformer: diffusers' FluxTransformer2DModel, without an adapter.
        spec: what is trained.
        seed: of the adapter's first values.
    """

    def __init__(self, transformer: Any, spec: AdapterSpec, seed: int = 0):
        super().__init__()
        plain, self.routed_names = find_layers(transformer, spec)
        self.transformer, self.spec = transformer.requires_grad_(False), spec
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self._gates = [Watched(GATES[spec.router_gradient], spec.balance > 0) for _ in self.routed_names]
            self.experts = nn.ModuleList(
                _new_experts(transformer.get_submodule(name), spec, gate)
                for name, gate in zip(self.routed_names, self._gates, strict=True)
            )
            if plain:
                _add_plain(transformer, plain, spec)
        self.plain_layers = {name: transformer.get_submodule(name) for name in plain}
        self._trained = [name for name, parameter in self.named_parameters() if parameter.requires_grad]
        self._usage: dict[str, Tensor] = {}
        self._balance: Tensor | None = None
        self._attached = ExitStack()
        self.set_strength(1.0)

    def forward(self, **inputs: Any) -> Tensor:
        """The inputs of diffusers' FLUX transformer by name -> v tokens (B, N, 64)."""
        tokens = self.transformer(**inputs, return_dict=False)[0]
        self._note_spread()
        return tokens

    def named_adapter_parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by name, always in the same order."""
        parameters = dict(self.named_parameters())
        return {name: parameters[name] for name in self._trained}

    def adapter_parameters(self) -> list[nn.Parameter]:
        return list(self.named_adapter_parameters().values())

    def compile_blocks(self, **options: Any) -> None:
        """torch.compile every block; one compilation serves all blocks of a kind."""
        self.transformer.compile_repeated_blocks(**options)

    def checkpoint_blocks(self) -> None:
        """Keep only the blocks' inputs for the backward pass and run the blocks again there."""

        def call(block: nn.Module, *inputs: Any) -> Any:
            return checkpoint(
                block.__call__,
                *inputs,
                use_reentrant=False,
                preserve_rng_state=False,
                context_fn=lambda: (nullcontext(), self._forgetting()),
            )

        self.transformer.enable_gradient_checkpointing(call)

    def balance_loss(self) -> Tensor:
        """The load-balance loss of the last forward pass, mean over the routed layers; not yet times spec.balance.

        It has a gradient when spec.balance is not 0. Without routed layers it is 0.
        """
        return torch.zeros(()) if self._balance is None else self._balance

    def expert_usage(self, reset: bool = False) -> dict[str, Tensor]:
        """Tokens that each expert got in this process in forward passes with gradients.

        Returns:
            layer name -> (E,) int64, since the start or the last reset; empty before the first pass.
        """
        usage = {name: counts.cpu() for name, counts in self._usage.items()}
        if reset:
            self._usage = {}
        return usage

    def adapter(self) -> Adapter:
        """The adapter as it stands, under the names the published file has."""
        plain = {
            PREFIX + name: LowRank(down.weight.detach(), up.weight.detach(), self.spec.alpha)
            for name, (down, up) in self._plain_pairs().items()
        }
        routed = {PREFIX + name: layer.routed(self.spec.alpha) for name, layer in self._routed().items()}
        return Adapter(plain, routed)

    def adapter_state(self) -> dict[str, Tensor]:
        """The adapter in the published layout, float32 on the CPU, alpha folded into `lora_B`."""
        return write(self.adapter())

    @torch.no_grad()
    def load_adapter(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from an adapter in the published layout; an outline, its tensors on "meta", is only compared in shape.

        Raises:
            ValueError: its layers, experts or rank are not those of the spec.
        """
        adapter = read(tensors)
        plain = {name.removeprefix(PREFIX): update for name, update in adapter.plain.items()}
        routed = {name.removeprefix(PREFIX): update for name, update in adapter.routed.items()}
        _same_layers("plain LoRA", plain, self.plain_layers)
        _same_layers("experts", routed, self.routed_names)
        for name, (down, up) in self._plain_pairs().items():
            _copy(name, down.weight, plain[name].down)
            _copy(name, up.weight, plain[name].up.float() * (plain[name].scale / self.spec.scale))
        for name, layer in self._routed().items():
            theirs = MoELoRA(routed[name], dtype=torch.float32)
            _copy(name, layer.router, theirs.router)
            _copy(name, layer.down, theirs.down)
            _copy(name, layer.up, theirs.up / self.spec.scale)

    def set_strength(self, strength: float) -> None:
        """Multiply the whole adapter; at 0 the transformer gives the bits it gives without one."""
        self._attached.close()
        if self.plain_layers:
            for layer in self.plain_layers.values():
                layer.set_scale(_PEFT_NAME, strength)
            (self.transformer.enable_adapters if strength else self.transformer.disable_adapters)()
        if strength and self.routed_names:
            slots = {name: [Slot(layer)] for name, layer in self._routed().items()}
            self._attached.enter_context(Attachment(slots, strength * self.spec.scale).on(self.transformer))

    def detach(self) -> None:
        """Take the adapter off and leave the transformer as it was; this object is of no use afterwards."""
        self.set_strength(0.0)
        if self.plain_layers:
            self.transformer.unload_lora()
        self.transformer.disable_gradient_checkpointing()
        for module in self.transformer.modules():
            module._compiled_call_impl = None

    def _routed(self) -> dict[str, MoELoRA]:
        return dict(zip(self.routed_names, self.experts, strict=True))  # type: ignore[arg-type]

    def _plain_pairs(self) -> dict[str, tuple[nn.Linear, nn.Linear]]:
        return {n: (layer.lora_A[_PEFT_NAME], layer.lora_B[_PEFT_NAME]) for n, layer in self.plain_layers.items()}

    def _note_spread(self) -> None:
        """Take what the gatings saw in this pass."""
        spreads = [gate.take() for gate in self._gates]
        seen = {name: spread for name, spread in zip(self.routed_names, spreads, strict=True) if spread is not None}
        if seen:
            self._balance = torch.stack([balance(probabilities, kept) for probabilities, kept in seen.values()]).mean()
        if torch.is_grad_enabled():
            for name, (_, kept) in seen.items():
                self._usage[name] = self._usage.get(name, 0) + kept

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        """A block that runs again must not leave its graph, and so its activations, behind."""
        try:
            yield
        finally:
            for gate in self._gates:
                gate.take()


def _new_experts(linear: nn.Linear, spec: AdapterSpec, gating: Watched) -> MoELoRA:
    wide, out = linear.in_features, linear.out_features
    router = nn.Linear(wide, spec.experts, bias=False).weight.detach()
    experts = tuple(
        LowRank(torch.randn(spec.rank, wide) / spec.rank, torch.zeros(out, spec.rank)) for _ in range(spec.experts)
    )
    layer = MoELoRA(Routed(router, experts), spec.top_k, torch.float32, gating)
    return layer.requires_grad_().to(linear.weight.device)


def _add_plain(transformer: Any, names: Sequence[str], spec: AdapterSpec) -> None:
    config = LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha,  # type: ignore[arg-type]
        init_lora_weights="gaussian",
        target_modules="|".join(map(re.escape, names)),
    )
    transformer.add_adapter(config, _PEFT_NAME)
    for name in names:
        layer = transformer.get_submodule(name)
        assert isinstance(layer, LoraLayer)
        layer.lora_A.float()
        layer.lora_B.float()


def _same_layers(what: str, got: Mapping[str, Any], wanted: Iterable[str]) -> None:
    missing, unknown = sorted(set(wanted) - set(got)), sorted(set(got) - set(wanted))
    if missing or unknown:
        name, where = (missing[0], "is not in the file") if missing else (unknown[0], "is in the file")
        raise ValueError(
            f"Adapter: {name} {where} as {what} ({len(missing)} layers missing, {len(unknown)} too many), but the "
            "file's layers must be those that are trained. Set plain and routed of [adapter] to the file's layers."
        )


def _copy(name: str, ours: Tensor, theirs: Tensor) -> None:
    if ours.shape != theirs.shape:
        raise ValueError(
            f"Adapter: {name} in the file is {tuple(theirs.shape)}, but {tuple(ours.shape)} is trained. "
            "Set rank and experts of [adapter] to the file's, and the model to the one it was trained for."
        )
    if not theirs.is_meta:
        ours.copy_(theirs)
