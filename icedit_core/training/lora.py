"""An adapter in training: plain LoRA by peft and routed experts on a frozen FLUX transformer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

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


@dataclass(frozen=True)
class AdapterSpec:
    rank: int = 32
    alpha: float = 32.0
    experts: int = 4
    top_k: int = 1
    plain: tuple[str, ...] = PLAIN
    routed: tuple[str, ...] = ROUTED
    router_gradient: str = "published"
    balance: float = 0.0
    init: str = "gaussian"


class Trainable(nn.Module):
    def __init__(self, transformer: nn.Module, spec: AdapterSpec, seed: int = 0):
        raise NotImplementedError

    def forward(self, **inputs) -> Tensor:
        """diffusers' FLUX inputs by name -> v tokens (B, N, 64)."""
        raise NotImplementedError

    def named_adapter_parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by a stable name, in a stable order; float32."""
        raise NotImplementedError

    def adapter_parameters(self) -> list[nn.Parameter]:
        raise NotImplementedError

    def compile_blocks(self) -> None:
        """torch.compile each block."""
        raise NotImplementedError

    def checkpoint_blocks(self) -> None:
        """Gradient checkpointing of each block; use this, not the transformer's own switch."""
        raise NotImplementedError

    def balance_loss(self) -> Tensor:
        """Load-balance loss of the last forward, mean over the routed layers, NOT yet times spec.balance."""
        raise NotImplementedError

    def expert_usage(self, reset: bool = False) -> dict[str, Tensor]:
        """Layer name -> tokens per expert (E,) int64, of this process, over all forwards with gradients since the last reset."""
        raise NotImplementedError

    def adapter_state(self) -> dict[str, Tensor]:
        """Published key layout, float32 on the CPU, alpha folded."""
        raise NotImplementedError

    def load_adapter(self, tensors: Mapping[str, Tensor]) -> None:
        raise NotImplementedError

    def set_strength(self, strength: float) -> None:
        """Multiply every update; 0 leaves the transformer bit-identical."""
        raise NotImplementedError

    def detach(self) -> None:
        """Take the adapter off: the transformer is as it was before; this object is of no use afterwards."""
        raise NotImplementedError


def save_adapter(path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write the tensors and metadata atomically (tmp + rename)."""
    raise NotImplementedError
