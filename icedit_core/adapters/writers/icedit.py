"""ICEdit's published layout, written: `lora_A` / `lora_B` / `lora_route` per layer.

Source: River-Zhang/ICEdit (key names of the published MoE-LoRA and normal LoRA).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..weights import Adapter, LowRank


def write(adapter: Adapter) -> dict[str, Tensor]:
    """The tensors of a file that the published loader and ours both read.

    The layout has no alpha and the published loader takes alpha for the rank, so alpha / rank is folded into `lora_B`.

    Args:
        adapter: layer names in diffusers' naming, with the prefix `transformer.`, for the published loader.
    Returns:
        file key -> tensor, on the CPU, dtypes as they are.
    Raises:
        ValueError: a layer has what the layout cannot hold.
    """
    tensors: dict[str, Tensor] = {}
    for layer, update in adapter.plain.items():
        tensors |= _pair(layer, "", update)
    for layer, routed in adapter.routed.items():
        if routed.shared or routed.reads_output or routed.context or routed.gates != "top_k_then_softmax":
            raise ValueError(
                f"ICEdit adapter: {layer} has a shared expert, other gates or reads the layer's output (X2Edit's do), "
                "but ICEdit's file layout has no place for that. Keep it in the layout that it came in."
            )
        tensors[f"{layer}.lora_route.weight"] = _own(routed.router)
        for index, expert in enumerate(routed.experts):
            tensors |= _pair(layer, f".expert_{index}", expert)
    return tensors


def _pair(layer: str, expert: str, update: LowRank) -> dict[str, Tensor]:
    up = update.up if update.scale == 1 else update.up * update.scale
    return {f"{layer}.lora_A{expert}.weight": _own(update.down), f"{layer}.lora_B{expert}.weight": _own(up)}


def _own(tensor: Tensor) -> Tensor:
    """A copy that shares no memory, which a safetensors file needs."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
