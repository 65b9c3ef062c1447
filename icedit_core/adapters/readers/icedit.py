"""ICEdit's published layout: plain LoRA and LoRA-MoE, `lora_A` / `lora_B` / `lora_route` per layer.

Source: River-Zhang/ICEdit (key names of the published MoE-LoRA and normal LoRA). The layer part of a key may be in
diffusers' or in the host's naming: it is handed on as it stands. `lora_down` / `lora_up` mean `lora_A` / `lora_B`.
peft may leave the adapter's name in the keys (`lora_A.default.weight`): one name in the whole file is taken off.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Mapping

import torch
from torch import Tensor

from .. import families
from ..names import listed, shown
from ..weights import Adapter, LowRank, Routed
from .tensors import FLOATS, finite, floats

_NAME = r"(?:\.(?!expert_)(?P<name{}>[^.]+))?"
_MATRIX = re.compile(
    rf"(?P<layer>.+)\.lora_(?P<side>A|B|down|up){_NAME.format(1)}"
    rf"(?:\.expert_(?P<expert>[0-9]{{1,4}}){_NAME.format(2)})?\.weight"
)
_ROUTER = re.compile(rf"(?P<layer>.+)\.lora_route{_NAME.format(1)}\.weight")
_ALPHA = re.compile(r"(?P<layer>.+)\.alpha")
_WHO = "ICEdit adapter"

_MOST_RANK = 1024  # where a layer's sides are smaller

Pairs = dict[int | None, dict[str, Tensor]]


def claims(keys: Collection[str]) -> bool:
    """Whether any tensor has a name of this layout; a LoRA for another model has them too."""
    return any(_MATRIX.fullmatch(key) or _ROUTER.fullmatch(key) for key in keys)


def read(tensors: Mapping[str, Tensor]) -> Adapter:
    """Read an adapter from a file's tensors; every one of them is used.

    Args:
        tensors: file key -> tensor; 2-D float matrices, alphas of one number. All names are looked at before the first
            tensor, and each tensor is asked for once.
    Returns:
        The adapter, layer names as in the file.
    Raises:
        ValueError: a LoRA for another model or with text encoders, several adapters, keys of another
            format (listed), a half of a pair, an expert or the router missing, shapes that do not fit each other, or
            values that are not finite.
    """
    _check_names(tensors)
    layers: dict[str, Pairs] = {}
    routers: dict[str, Tensor] = {}
    alphas: dict[str, float] = {}
    for key in tensors:
        if match := _MATRIX.fullmatch(key):
            expert = None if match["expert"] is None else int(match["expert"])
            side = "down" if match["side"] in ("A", "down") else "up"
            sides = layers.setdefault(match["layer"], {}).setdefault(expert, {})
            if side in sides:
                raise ValueError(
                    f"{_WHO}: {shown(key)} comes twice under two names, but once is needed. Remove one of them."
                )
            sides[side] = floats(key, tensors[key], dimensions=2)
        elif match := _ROUTER.fullmatch(key):
            routers[match["layer"]] = floats(key, tensors[key], dimensions=2)
        elif match := _ALPHA.fullmatch(key):
            alphas[match["layer"]] = _number(key, tensors[key])
    return _assemble(layers, routers, alphas)


def _check_names(keys: Collection[str]) -> None:
    families.check(keys)
    matches = {key: _MATRIX.fullmatch(key) for key in keys}
    layers = {match["layer"] for match in matches.values() if match}
    unknown = [key for key, match in matches.items() if not (match or _ROUTER.fullmatch(key) or _alpha_of(key, layers))]
    if unknown:
        raise ValueError(
            f"{_WHO}: {len(unknown)} of {len(keys)} tensors are of no layout known here: {listed(unknown)}. "
            "Use a LoRA or LoRA-MoE in ICEdit's or ComfyUI's naming; for other kinds use ComfyUI's own LoRA loader."
        )
    names = {name for key in keys for name in _adapter_names(key)}
    if len(names) > 1:
        raise ValueError(
            f"{_WHO}: the file holds the {len(names)} adapters {listed(sorted(names))}, but one is needed. "
            "Save each to a file of its own."
        )


def _adapter_names(key: str) -> list[str]:
    """What peft calls the adapter in this key; none in most files."""
    match = _MATRIX.fullmatch(key) or _ROUTER.fullmatch(key)
    return [text for group, text in match.groupdict().items() if group[:4] == "name" and text] if match else []


def _alpha_of(key: str, layers: Container[str]) -> bool:
    match = _ALPHA.fullmatch(key)
    return match is not None and match["layer"] in layers


def _number(key: str, tensor: Tensor) -> float:
    """An alpha; some trainers store a whole number."""
    if tensor.numel() != 1 or tensor.dtype not in (*FLOATS, torch.int64, torch.int32):
        raise ValueError(
            f"{_WHO}: {shown(key)} is {tensor.dtype} of shape {tuple(tensor.shape)}, but one number is needed. "
            "The file is damaged or of another kind."
        )
    return float(finite(key, tensor))


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
            f"{_WHO}: {listed(routers)} has a router (lora_route) but no experts. "
            "The file is incomplete: download it again."
        )
    return Adapter(plain, routed)


def _pair(layer: str, expert: int | None, sides: dict[str, Tensor], alpha: float | None) -> LowRank:
    name = shown(layer) + ("" if expert is None else f", expert {expert}")
    if len(sides) != 2:
        got, missing = ("lora_A", "lora_B") if "down" in sides else ("lora_B", "lora_A")
        raise ValueError(
            f"{_WHO}: {name} has {got} alone, but {missing} is needed too. The file is incomplete: download it again."
        )
    down, up = sides["down"], sides["up"]
    if down.shape[0] != up.shape[1]:
        raise ValueError(
            f"{_WHO}: {name} has lora_A {tuple(down.shape)} and lora_B {tuple(up.shape)}, "
            "but lora_A (rank, in) and lora_B (out, rank) must share the rank. The file is damaged: download it again."
        )
    if (rank := down.shape[0]) > (most := _most_rank(down, up)):
        raise ValueError(
            f"{_WHO}: {name} has the rank {rank}, but a layer of {down.shape[1]} inputs and {up.shape[0]} outputs "
            f"needs at most {most}. The file is damaged or made to fill the memory: use another."
        )
    return LowRank(down, up, alpha)


def _most_rank(down: Tensor, up: Tensor) -> int:
    """Beyond the larger side a rank buys nothing, but memory."""
    return max(down.shape[1], up.shape[0], _MOST_RANK)


def _experts(layer: str, updates: dict[int, LowRank], router: Tensor | None) -> Routed:
    if router is None:
        raise ValueError(
            f"{_WHO}: {shown(layer)} has experts but no router (lora_route). The file is incomplete: download it again."
        )
    count = router.shape[0]
    if sorted(updates) != list(range(count)):
        raise ValueError(
            f"{_WHO}: {shown(layer)} has the experts {listed(map(str, sorted(updates)))}, but its router picks among "
            f"{count}, numbered from 0. The file is incomplete: download it again."
        )
    experts = tuple(updates[index] for index in range(count))
    downs, ups = {_kind(expert.down) for expert in experts}, {_kind(expert.up) for expert in experts}
    if len(downs) > 1 or len(ups) > 1 or experts[0].down.shape[1] != router.shape[1]:
        raise ValueError(
            f"{_WHO}: {shown(layer)} has experts of {listed(sorted(downs | ups))} and a router "
            f"{tuple(router.shape)}, but all experts must be alike and share the router's input width. "
            "The file is damaged: download it again."
        )
    if (ranks := sum(expert.rank for expert in experts)) > (most := _most_rank(experts[0].down, experts[0].up)):
        raise ValueError(
            f"{_WHO}: {shown(layer)} has {count} experts of rank {ranks} in all, but a layer needs at most {most}. "
            "The file is damaged or made to fill the memory: use another."
        )
    return Routed(router, experts)


def _kind(matrix: Tensor) -> str:
    return f"{str(matrix.dtype).removeprefix('torch.')} {tuple(matrix.shape)}"
