"""Memory of a training, computed without running it: the model on tensors that have shapes and no content.

What autograd keeps for the backward pass is counted, not estimated: the forward pass runs on fake tensors and every
distinct storage that it saves is added up. Not in the sums: the backward pass's passing buffers, workspaces of the
libraries, the CUDA context (0.5 to 1 GiB together with them) and the allocator's fragments; with several processes
their buckets, another copy of the gradients.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode

from .config import Config
from .lora import AdapterSpec, Trainable

FLUX_FILL = {
    "patch_size": 1,
    "in_channels": 384,
    "out_channels": 64,
    "num_layers": 19,
    "num_single_layers": 38,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
    "guidance_embeds": True,
    "axes_dims_rope": (16, 56, 56),
}
"""FLUX.1-Fill-dev's transformer/config.json."""
TEXT_TOKENS = 512
FLOAT = 4  # bytes


@dataclass(frozen=True)
class Memory:
    """Bytes on one device while training."""

    base: int
    adapter: int
    gradients: int
    optimiser: int
    average: int
    activations: int

    @property
    def total(self) -> int:
        return sum(getattr(self, field.name) for field in fields(self))


def compute(
    flux: Mapping[str, Any],
    config: Config,
    *,
    checkpointing: bool,
    text_tokens: int = TEXT_TOKENS,
    device: str = "cuda",
) -> Memory:
    """What a training by `config` keeps in memory.

    Args:
        flux: keyword arguments of diffusers' `FluxTransformer2DModel`.
        checkpointing: whether blocks run again in the backward pass; then only their inputs stay, and what one block
            keeps at a time.
        device: "cuda" or "cpu"; autocast keeps other types on each. Neither is needed.
    """
    dtype = getattr(torch, config.model.dtype)
    trainable = _without_content(flux, config.adapter, dtype)
    trained = trainable.named_adapter_parameters()
    count = sum(p.numel() for p in trained.values())
    zeros = 0 if config.model.adapter else _starting_at_zero(trainable, config.adapter)
    states = {"adamw": 2 * count, "prodigy": 4 * count - zeros}  # Prodigy keeps no copy of what starts at 0
    with _fake(trainable, device):
        kept, largest, inputs = _kept(trainable, flux, config, text_tokens, device)
    return Memory(
        base=sum(p.numel() * p.element_size() for p in trainable.parameters()) - FLOAT * count,
        adapter=FLOAT * count,
        gradients=FLOAT * count,
        optimiser=FLOAT * states[config.optimiser.name],
        average=FLOAT * count if config.ema.decay else 0,
        activations=inputs + largest if checkpointing else kept,
    )


def _without_content(flux: Mapping[str, Any], spec: AdapterSpec, dtype: torch.dtype) -> Trainable:
    from diffusers import FluxTransformer2DModel

    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)
        with torch.device("meta"):
            transformer: Any = FluxTransformer2DModel(**flux)
    finally:
        torch.set_default_dtype(before)
    with torch.device("meta"):
        return Trainable(transformer.eval(), spec)


def _starting_at_zero(trainable: Trainable, spec: AdapterSpec) -> int:
    """Weights of all B."""

    def outputs(names: Iterable[str]) -> int:
        return sum(trainable.transformer.get_submodule(name).out_features for name in names)

    return spec.rank * (outputs(trainable.plain_layers) + spec.experts * outputs(trainable.routed_names))


@contextmanager
def _fake(module: nn.Module, device: str):
    """Inside, the module's weights are fake tensors of `device`, and so is everything made of them."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        for part in module.modules():
            groups: list[dict[str, Any]] = [part._parameters, part._buffers]
            for tensors in groups:
                for name, tensor in tensors.items():
                    if tensor is not None:
                        empty = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
                        is_weight = isinstance(tensor, nn.Parameter)
                        tensors[name] = nn.Parameter(empty, tensor.requires_grad) if is_weight else empty
        with _FlashAttention() if device == "cuda" else nullcontext():
            yield


class _FlashAttention(TorchFunctionMode):
    """What torch chooses on a GPU; without one at hand it would take the plain attention for fake CUDA tensors."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is not nn.functional.scaled_dot_product_attention:
            return function(*args, **(kwargs or {}))
        given = [*args, *(kwargs[name] for name in ("query", "key", "value")[len(args) :])]
        if torch.is_autocast_enabled("cuda"):
            given = [tensor.to(torch.get_autocast_dtype("cuda")) for tensor in given]
        return torch.ops.aten._scaled_dot_product_flash_attention(*given)[0]


def _kept(
    trainable: Trainable, flux: Mapping[str, Any], config: Config, text_tokens: int, device: str
) -> tuple[int, int, int]:
    """Bytes that autograd keeps after a forward pass: in all, for the hungriest block, and with checkpointed blocks."""
    seen: dict[int, tuple[int, Any]] = {}
    weights = {p.untyped_storage()._cdata for p in trainable.parameters()}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            seen[storage._cdata] = (storage.nbytes(), storage)  # the storage is held, so that its address is its own
        return tensor

    def total() -> int:
        return sum(size for size, _ in seen.values())

    marks: list[int] = []
    blocks = [*trainable.transformer.transformer_blocks, *trainable.transformer.single_transformer_blocks]
    hooks = [block.register_forward_pre_hook(lambda *_: marks.append(total())) for block in blocks]
    hooks += [block.register_forward_hook(lambda *_: marks.append(total())) for block in blocks]
    inputs = _inputs(flux, config, text_tokens, device)
    with saved_tensors_hooks(note, lambda tensor: tensor), _autocast(device, config.train.mixed_precision):
        trainable(**inputs)
        everything = total()
        for hook in hooks:
            hook.remove()
        seen.clear()
        trainable.checkpoint_blocks()
        trainable(**inputs)
    largest = max(after - before for before, after in zip(marks[::2], marks[1::2], strict=True))
    return everything, largest, total()


def _inputs(flux: Mapping[str, Any], config: Config, text_tokens: int, device: str) -> dict[str, Tensor]:
    b, tokens = config.train.batch, image_tokens(config.data.panel)
    dtype = getattr(torch, config.model.dtype)
    return {
        "hidden_states": torch.empty(b, tokens, flux["in_channels"], dtype=dtype, device=device),
        "encoder_hidden_states": torch.empty(b, text_tokens, flux["joint_attention_dim"], dtype=dtype, device=device),
        "pooled_projections": torch.empty(b, flux["pooled_projection_dim"], dtype=dtype, device=device),
        "timestep": torch.empty(b, dtype=dtype, device=device),
        "guidance": torch.empty(b, dtype=dtype, device=device),
        "img_ids": torch.empty(tokens, 3, device=device),
        "txt_ids": torch.empty(text_tokens, 3, device=device),
    }


def image_tokens(panel: tuple[int, int]) -> int:
    """Tokens of a diptych of two panels (width, height) px: one for 16 x 16 px."""
    return 2 * (panel[0] // 16) * (panel[1] // 16)


@contextmanager
def _autocast(device: str, mixed_precision: str):
    """`torch.autocast`, which refuses CUDA where there is none."""
    before = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    torch.set_autocast_enabled(device, mixed_precision == "bf16")
    torch.set_autocast_dtype(device, torch.bfloat16)
    try:
        yield
    finally:
        torch.clear_autocast_cache()
        torch.set_autocast_enabled(device, before[0])
        torch.set_autocast_dtype(device, before[1])
