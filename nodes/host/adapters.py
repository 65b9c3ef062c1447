"""Join an adapter to a host model: plain updates as the host's weight patches, routed ones as a wrapper."""

import re
import uuid
from collections.abc import Mapping
from typing import NamedTuple

import comfy.lora
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from comfy.weight_adapter import LoRAAdapter
from torch import Tensor, nn

from ...icedit_core.adapters.attach import Attachment, Slot
from ...icedit_core.adapters.moe import MoELoRA
from ...icedit_core.adapters.names import listed
from ...icedit_core.adapters.weights import Adapter, LowRank, Routed
from ...icedit_core.adapters.widen import DEV_INPUTS
from . import experts_kept, fill, taps

WHO = "ICEdit Load LoRA"
PREFIX = "diffusion_model."
WEIGHT = ".weight"
_BY_PEFT = re.compile(r"^(transformer\.)?base_model\.model\.")  # peft's own names, also as one part of a pipeline


class Target(NamedTuple):
    """A layer of the host's model: the weight's key, and its rows where the host fuses several layers into one."""

    key: str
    rows: tuple[int, int, int] | None = None  # (dim, start, length)
    function: object = None

    @property
    def patch_key(self):
        """What `ModelPatcher.add_patches` takes."""
        return self.key if self.rows is None and self.function is None else tuple(self)


class Routing(NamedTuple):
    """What of an adapter on a model has a router: layers by the name of the module they join.

    The host copies it along with a MODEL, beside the patcher that holds the layers themselves.
    """

    name: str
    modules: tuple[str, ...]  # in the order of the patcher's layers


def routings(model: ModelPatcher) -> list[tuple[str, dict[str, list[MoELoRA]]]]:
    """(adapter's name, module -> its routed layers) of each adapter with experts, in the order they were attached."""
    found = []
    for key, value in model.attachments.items():
        if isinstance(value, Routing):
            layers: dict[str, list[MoELoRA]] = {}
            for module, layer in zip(value.modules, taps.bank_of(model, key), strict=True):
                layers.setdefault(module, []).append(layer)
            found.append((value.name, layers))
    return found


def attach(model: ModelPatcher, adapter: Adapter, strength: float, top_k: int, name: str = "adapter") -> ModelPatcher:
    """Give a clone of `model` with the adapter in force; `model` itself stays as it is.

    Args:
        model: the host's MODEL.
        adapter: updates by layer name, in diffusers' or the host's naming.
        strength: multiplies every update; at 0 the clone is the plain model.
        top_k: experts per token.
        name: what `routings` calls the adapter.
    Raises:
        ValueError: the model is not FLUX.1 Fill, a layer is not in it, or its shape does not fit.
    """
    targets = check(model, adapter)
    clone = model.clone()
    if strength == 0:
        return clone
    patches = {targets[name].patch_key: _host_patch(update) for name, update in adapter.plain.items()}
    clone.add_patches(patches, strength)
    if adapter.routed:
        attach_routed(clone, adapter.routed, targets, strength, top_k, name)
    return clone


def check(model: ModelPatcher, adapter: Adapter) -> dict[str, Target]:
    """Where each layer of an adapter, or of an outline without numbers, belongs in a model.

    Raises:
        ValueError: see `attach`.
    """
    fill.require(model, WHO)
    return resolve(model, adapter)


def _host_patch(update: LowRank) -> LoRAAdapter:
    return LoRAAdapter(set(), (update.up, update.down, update.alpha, None, None, None))


def attach_routed(
    clone: ModelPatcher,
    layers: Mapping[str, Routed],
    targets: Mapping[str, Target],
    strength: float,
    top_k: int,
    name: str,
    contexts: Mapping[str, Tensor] | None = None,
    who: str = WHO,
) -> None:
    """Give a clone routed layers. They live in a patcher of their own, so that the host loads and offloads them.

    Args:
        clone: the caller's own.
        layers: by the names that `targets` has.
        targets: `resolve`'s.
        strength, top_k, name: as `attach` takes them.
        contexts: what routers read after the token, one row (width,) of each of the adapter's `contexts`.
        who: the node that speaks.
    """
    dtype = _compute_dtype(clone)
    bank, places = nn.ModuleList(), []
    for layer_name, routed in layers.items():
        target = targets[layer_name]
        bank.append(MoELoRA(routed, top_k, dtype, context=(contexts or {}).get(routed.context)))
        start = target.rows[1] if target.rows else 0
        places.append((target.key[len(PREFIX) : -len(WEIGHT)], start, routed.reads_output))
    key = f"icedit_moe_{uuid.uuid4().hex}"

    def experts(bank: nn.ModuleList) -> Attachment:
        slots: dict[str, list[Slot]] = {}
        for layer, (module, start, reads_output) in zip(bank, places, strict=True):
            slots.setdefault(module, []).append(Slot(layer, start, reads_output))
        return Attachment(slots, strength)

    clone.set_attachments(key, Routing(name, tuple(module for module, *_ in places)))
    taps.put(clone, key, bank, experts)
    experts_kept.keep(clone, lambda patcher: [name for name, _ in routings(patcher)], who)


def _compute_dtype(model: ModelPatcher) -> torch.dtype:
    """What the layers' inputs will be; experts in another dtype would be cast at every step."""
    return model.get_model_object("manual_cast_dtype") or model.model.get_dtype_inference()


def resolve(model: ModelPatcher, adapter: Adapter, who: str = WHO) -> dict[str, Target]:
    """Find every layer of the adapter in a FLUX.1 and check its shape, before anything is changed.

    Raises:
        ValueError: a layer is not in the model, or its shape does not fit.
    """
    known = comfy.lora.model_lora_keys_unet(model.model, {})
    weights = set(model.model_state_dict(PREFIX))
    found = {name: _find(name, known) for name in (*adapter.plain, *adapter.routed)}
    targets = {name: target for name, target in found.items() if target is not None and target.key in weights}
    _refuse_unknown(model, found, targets, who)
    _refuse_doubles(targets, who)
    for name, update in adapter.plain.items():
        _check_shape(model, name, targets[name], update, who)
    for name, routed in adapter.routed.items():
        if targets[name].function is not None or not targets[name].key.endswith(WEIGHT):
            raise ValueError(f"{who}: {name} has experts, but only a plain Linear layer can have them.")
        _check_shape(model, name, targets[name], routed.experts[0], who)
    return targets


def _find(name: str, known: Mapping) -> Target | None:
    bare = _BY_PEFT.sub("", name)
    for candidate in (name, bare, PREFIX + bare, PREFIX + bare.removeprefix("transformer.")):
        if candidate in known:
            found = known[candidate]
            return Target(found) if isinstance(found, str) else Target(*found)
    return None


def _refuse_unknown(
    model: ModelPatcher, found: Mapping[str, Target | None], targets: Mapping[str, Target], who: str
) -> None:
    unknown = [name for name in found if name not in targets]
    if not unknown:
        return
    network = type(model.model.diffusion_model)
    if all(found.values()) and not targets:
        raise ValueError(
            f"{who}: this {type(model.model).__name__} is run by {network.__module__}.{network.__name__} "
            "with layers of its own (Nunchaku does so), but ComfyUI's layers are needed: none of the file's "
            f"{len(found)} is there. Load the model with ComfyUI's loader (bf16, fp8, scaled fp8) or as GGUF."
        )
    raise ValueError(
        f"{who}: {len(unknown)} of {len(found)} layers of the file are not in this model "
        f"({type(model.model).__name__}, {fill.name_of(model)}): {listed(unknown)}. "
        "The file is for another model or another size of it, or names its layers in a way not known here: choose a "
        "LoRA for FLUX.1 in ICEdit's or ComfyUI's naming."
    )


def _refuse_doubles(targets: Mapping[str, Target], who: str) -> None:
    """Two names of one layer would overwrite each other in the host's patch table."""
    seen: dict[Target, str] = {}
    for name, target in targets.items():
        if target in seen:
            raise ValueError(
                f"{who}: {seen[target]} and {name} are the same layer under two names, but each layer is "
                "needed once. Remove one of them."
            )
        seen[target] = name


def _check_shape(model: ModelPatcher, name: str, target: Target, update: LowRank, who: str) -> None:
    shape = comfy.utils.get_attr(model.model, target.key).shape
    rows = target.rows[2] if target.rows else shape[0]
    if (update.up.shape[0], update.down.shape[1]) != (rows, shape[1]):
        raise ValueError(
            f"{who}: {name} fits a layer of {update.down.shape[1]} inputs and {update.up.shape[0]} outputs, "
            f"but this model's has {shape[1]} and {rows}. The file is for another model{_control(name, update)}, "
            "or another size of it: choose a LoRA for FLUX.1."
        )


def _control(name: str, update: LowRank) -> str:
    """The input layer of FLUX.1's control LoRAs reads a control picture beside the noise."""
    control = update.down.shape[1] == 2 * DEV_INPUTS and name.endswith(("x_embedder", "img_in"))
    return " (FLUX.1 Canny or Depth)" if control else ""
