"""ICEdit's published layout: plain LoRA and LoRA-MoE, `lora_A` / `lora_B` / `lora_route` per layer.

Source: River-Zhang/ICEdit (key names of the published MoE-LoRA and normal LoRA). The layer part of a key may be in
diffusers' or in the host's naming: it is handed on as it stands. `lora_down` / `lora_up` mean `lora_A` / `lora_B`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from ..weights import Adapter, LowRank, Routed

_MATRIX = re.compile(r"(?P<layer>.+)\.lora_(?P<side>A|B|down|up)(?:\.(?:expert_(?P<expert>\d+)|default))?\.weight")
_ROUTER = re.compile(r"(?P<layer>.+)\.lora_route\.weight")
_ALPHA = re.compile(r"(?P<layer>.+)\.alpha")
_WHO = "ICEdit adapter"
_LISTED = 8

Pairs = dict[int | None, dict[str, Tensor]]


def read(tensors: Mapping[str, Tensor]) -> Adapter:
    """Read an adapter from a file's tensors; every one of them is used.

    Args:
        tensors: file key -> tensor; 2-D matrices, scalar alphas, any float dtype.
    Returns:
        The adapter, layer names as in the file.
    Raises:
        ValueError: empty file, keys of another format (listed), a half of a pair, an expert or the router missing,
            shapes that do not fit each other, or values that are not finite.
    """
    if not tensors:
        raise ValueError(f"{_WHO}: the file holds no tensors, but LoRA matrices are needed. Download it again.")
    layers: dict[str, Pairs] = {}
    routers: dict[str, Tensor] = {}
    alphas: dict[str, float] = {}
    unknown = []
    for key, tensor in tensors.items():
        if match := _MATRIX.fullmatch(key):
            expert = None if match["expert"] is None else int(match["expert"])
            side = "down" if match["side"] in ("A", "down") else "up"
            sides = layers.setdefault(match["layer"], {}).setdefault(expert, {})
            if side in sides:
                raise ValueError(f"{_WHO}: {key} comes twice under two names, but once is needed. Remove one of them.")
            sides[side] = _checked(key, tensor, 2)
        elif match := _ROUTER.fullmatch(key):
            routers[match["layer"]] = _checked(key, tensor, 2)
        elif (match := _ALPHA.fullmatch(key)) and tensor.numel() == 1:
            alphas[match["layer"]] = float(_checked(key, tensor, tensor.ndim))
        else:
            unknown.append(key)
    unknown += [f"{layer}.alpha" for layer in alphas if layer not in layers]
    if unknown:
        raise ValueError(
            f"{_WHO}: {len(unknown)} of {len(tensors)} tensors are of no layout known here: {listed(unknown)}. "
            "Use a LoRA or LoRA-MoE in ICEdit's or ComfyUI's naming; for other kinds use ComfyUI's own LoRA loader."
        )
    return _assemble(layers, routers, alphas)


def listed(names: list[str]) -> str:
    """The first few names and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _checked(key: str, tensor: Tensor, ndim: int) -> Tensor:
    if tensor.ndim != ndim or not tensor.is_floating_point() or not tensor.numel():
        raise ValueError(
            f"{_WHO}: {key} is {tensor.dtype} of shape {tuple(tensor.shape)}, but a float tensor of {ndim} "
            "dimensions is needed. The file is damaged or of another kind."
        )
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{_WHO}: {key} holds NaN or infinity, but finite numbers are needed. The file is damaged.")
    return tensor


def _assemble(layers: dict[str, Pairs], routers: dict[str, Tensor], alphas: dict[str, float]) -> Adapter:
    plain: dict[str, LowRank] = {}
    routed: dict[str, Routed] = {}
    for layer, pairs in layers.items():
        updates = {expert: _pair(layer, expert, pairs[expert], alphas.get(layer)) for expert in pairs}
        if None in updates:
            plain[layer] = updates.pop(None)
        if updates or layer in routers:
            numbered = {expert: update for expert, update in updates.items() if expert is not None}
            routed[layer] = _experts(layer, numbered, routers.pop(layer, None))
    if routers:
        raise ValueError(
            f"{_WHO}: {listed(list(routers))} has a router (lora_route) but no experts. The file is incomplete."
        )
    return Adapter(plain, routed)


def _pair(layer: str, expert: int | None, sides: dict[str, Tensor], alpha: float | None) -> LowRank:
    name = layer if expert is None else f"{layer}, expert {expert}"
    if len(sides) != 2:
        got, missing = ("lora_A", "lora_B") if "down" in sides else ("lora_B", "lora_A")
        raise ValueError(f"{_WHO}: {name} has {got} alone, but {missing} is needed too. The file is incomplete.")
    down, up = sides["down"], sides["up"]
    if down.shape[0] != up.shape[1]:
        raise ValueError(
            f"{_WHO}: {name} has lora_A {tuple(down.shape)} and lora_B {tuple(up.shape)}, "
            "but lora_A (rank, in) and lora_B (out, rank) must share the rank. The file is damaged."
        )
    return LowRank(down, up, alpha)


def _experts(layer: str, updates: dict[int, LowRank], router: Tensor | None) -> Routed:
    if router is None:
        raise ValueError(f"{_WHO}: {layer} has experts but no router (lora_route). The file is incomplete.")
    count = router.shape[0]
    if sorted(updates) != list(range(count)):
        raise ValueError(
            f"{_WHO}: {layer} has the experts {sorted(updates)}, but its router picks among {count}, numbered from 0. "
            "The file is incomplete."
        )
    experts = tuple(updates[index] for index in range(count))
    shapes = {(tuple(e.down.shape), tuple(e.up.shape)) for e in experts}
    if len(shapes) > 1 or experts[0].down.shape[1] != router.shape[1]:
        raise ValueError(
            f"{_WHO}: {layer} has experts of shapes {sorted(shapes)} and a router {tuple(router.shape)}, "
            "but all experts must be alike and share the router's input width. The file is damaged."
        )
    return Routed(router, experts)
