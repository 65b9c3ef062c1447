"""Join an adapter to a host model: plain updates as the host's weight patches, routed ones as a wrapper."""

import uuid
from collections.abc import Mapping
from typing import NamedTuple

import comfy.lora
import comfy.utils
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from comfy.weight_adapter import LoRAAdapter
from torch import nn

from ...icedit_core.adapters.attach import Attachment, Slot
from ...icedit_core.adapters.moe import MoELoRA
from ...icedit_core.adapters.readers.icedit import listed
from ...icedit_core.adapters.weights import Adapter, LowRank

PREFIX = "diffusion_model."
WEIGHT = ".weight"


class Target(NamedTuple):
    """A layer of the host's model: the weight's key, and its rows where the host fuses several layers into one."""

    key: str
    rows: tuple[int, int, int] | None = None  # (dim, start, length)
    function: object = None

    @property
    def patch_key(self):
        """What `ModelPatcher.add_patches` takes."""
        return self.key if self.rows is None and self.function is None else tuple(self)


def attach(model: ModelPatcher, adapter: Adapter, strength: float, top_k: int) -> ModelPatcher:
    """Give a clone of `model` with the adapter in force; `model` itself stays as it is.

    Args:
        model: the host's MODEL.
        adapter: updates by layer name, in diffusers' or the host's naming.
        strength: multiplies every update; at 0 the clone is the plain model.
        top_k: experts per token.
    Raises:
        ValueError: a layer is not in the model, or its shape does not fit.
    """
    targets = _resolve(model, adapter)
    clone = model.clone()
    if strength == 0:
        return clone
    patches = {targets[name].patch_key: _host_patch(update) for name, update in adapter.plain.items()}
    clone.add_patches(patches, strength)
    if adapter.routed:
        _attach_routed(clone, adapter, targets, strength, top_k)
    return clone


def _host_patch(update: LowRank) -> LoRAAdapter:
    return LoRAAdapter(set(), (update.up, update.down, update.alpha, None, None, None))


def _attach_routed(clone: ModelPatcher, adapter: Adapter, targets: Mapping[str, Target], strength, top_k):
    """Experts live in a patcher of their own, so that the host loads and offloads them with the model."""
    dtype = clone.model.get_dtype_inference()
    slots: dict[str, list[Slot]] = {}
    for name, routed in adapter.routed.items():
        target = targets[name]
        slot = Slot(MoELoRA(routed, top_k, dtype), target.rows[1] if target.rows else 0)
        slots.setdefault(target.key[len(PREFIX) : -len(WEIGHT)], []).append(slot)
    bank = nn.ModuleList(slot.layer for layers in slots.values() for slot in layers)
    attachment = Attachment(slots, strength)

    def routed_call(executor, *args, **kwargs):
        with attachment.on(executor.class_obj.diffusion_model):
            return executor(*args, **kwargs)

    key = f"icedit_moe_{uuid.uuid4().hex}"
    clone.set_additional_models(key, [ModelPatcher(bank, clone.load_device, clone.offload_device)])
    clone.add_wrapper_with_key(WrappersMP.APPLY_MODEL, key, routed_call)


def _resolve(model: ModelPatcher, adapter: Adapter) -> dict[str, Target]:
    """Find every layer of the adapter in the model and check its shape, before anything is changed."""
    known = comfy.lora.model_lora_keys_unet(model.model, {})
    weights = set(model.model_state_dict(PREFIX))
    targets, unknown = {}, []
    for name in (*adapter.plain, *adapter.routed):
        target = _find(name, known)
        if target is None or target.key not in weights:
            unknown.append(name)
        else:
            targets[name] = target
    if unknown:
        raise ValueError(
            f"ICEdit Load LoRA: {len(unknown)} of {len(adapter.plain) + len(adapter.routed)} layers of the file are "
            f"not in this model ({type(model.model).__name__}): {listed(unknown)}. "
            "Load the model that the adapter was trained for; ICEdit's is FLUX.1 Fill."
        )
    _refuse_doubles(targets)
    for name, update in adapter.plain.items():
        _check_shape(model, name, targets[name], update)
    for name, routed in adapter.routed.items():
        if targets[name].function is not None or not targets[name].key.endswith(WEIGHT):
            raise ValueError(f"ICEdit Load LoRA: {name} has experts, but only a plain Linear layer can have them.")
        _check_shape(model, name, targets[name], routed.experts[0])
    return targets


def _find(name: str, known: Mapping) -> Target | None:
    bare = name.removeprefix("base_model.model.")
    for candidate in (name, bare, PREFIX + bare, PREFIX + bare.removeprefix("transformer.")):
        if candidate in known:
            found = known[candidate]
            return Target(found) if isinstance(found, str) else Target(*found)
    return None


def _refuse_doubles(targets: Mapping[str, Target]) -> None:
    """Two names of one layer would overwrite each other in the host's patch table."""
    seen: dict[Target, str] = {}
    for name, target in targets.items():
        if target in seen:
            raise ValueError(
                f"ICEdit Load LoRA: {seen[target]} and {name} are the same layer under two names, but each layer is "
                "needed once. Remove one of them."
            )
        seen[target] = name


def _check_shape(model: ModelPatcher, name: str, target: Target, update: LowRank) -> None:
    shape = comfy.utils.get_attr(model.model, target.key).shape
    rows = target.rows[2] if target.rows else shape[0]
    if (update.up.shape[0], update.down.shape[1]) != (rows, shape[1]):
        raise ValueError(
            f"ICEdit Load LoRA: {name} fits a layer of {update.down.shape[1]} inputs and {update.up.shape[0]} outputs, "
            f"but this model's has {shape[1]} and {rows}. Load the model that the adapter was trained for; "
            "ICEdit's is FLUX.1 Fill."
        )
