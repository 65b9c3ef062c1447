"""A peft adapter's folder, read by our own eyes and merged into a model: LoRA on Linear layers alone.

The peft library itself is not asked: its configurations can name modules to import and repositories to fetch. A LoRA
needs neither: its layers, ranks and shapes stand in the weights, and two numbers in the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ..foreign import line
from ..plain_files import open_regular, read_json

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_WHO = "ICEdit judge (transformers)"
_MOST_BYTES = 1 << 40  # of weights; what is read of them is bounded by the model's own shapes
# What changes the update's numbers, and is read. The other keys may be there if they ask for nothing.
_READ = {"peft_type", "r", "lora_alpha", "use_rslora", "alpha_pattern", "rank_pattern", "bias", "init_lora_weights"}
# How the adapter was trained, or defaults that mean nothing without the key that turns them on.
_OF_TRAINING = {
    "auto_mapping", "base_model_name_or_path", "revision", "task_type", "inference_mode", "peft_version",
    "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "lora_dropout", "megatron_core",
    "qalora_group_size", "runtime_config", "ensure_weight_tying",
}  # fmt: skip
_STARTS = (True, False, "gaussian", "orthogonal")  # `init_lora_weights` that leave the model's own weights alone
_KEY = re.compile(r"(?:base_model\.model\.)?(?P<layer>.+)\.lora_(?P<side>[AB])\.weight")
_PLAIN = re.compile(r"[\w.]+")  # a name in `alpha_pattern`; peft would take any regular expression
_RENAMED = (  # names of before transformers 4.52, and of today
    ("language_model.model.", "model.language_model."),
    ("model.layers.", "model.language_model.layers."),
    ("visual.", "model.visual."),
    ("vision_tower.", "model.vision_tower."),
)


def is_adapter_folder(folder: Path) -> bool:
    """Whether a folder looks like a saved peft adapter."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


@torch.no_grad()
def merge(model: nn.Module, folder: Path) -> None:
    """Add a LoRA to a model's weights; names and shapes are compared before any number is read.

    Raises:
        ValueError: another kind of adapter, or its layers are not the model's; the model is then of no use any more.
    """
    if not is_adapter_folder(folder):
        raise ValueError(
            f"{_WHO}: {line(folder.name)} has no {CONFIG} or no {WEIGHTS}, but both are needed. "
            "Put the whole folder of the adapter there."
        )
    try:
        config = read_json(folder / CONFIG)
    except ValueError as error:
        raise _refused(folder, f"{CONFIG} {error}", "a JSON object of a LoRA") from None
    _check(folder, config)
    path = folder / WEIGHTS
    try:
        open_regular(path, _MOST_BYTES).close()
        with safe_open(str(path), "pt") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}
            layers = _fitting(model, folder, shapes, config)
            for name, (layer, a, b) in layers.items():
                down, up = file.get_tensor(a), file.get_tensor(b)
                delta = up.float() @ down.float() * _scale(config, name, len(down))
                if not (down.is_floating_point() and up.is_floating_point() and delta.isfinite().all()):
                    raise _refused(folder, f"{line(name)} holds NaN, infinity or no numbers", "a finite update")
                layer.weight += delta.to(layer.weight)
    except (SafetensorError, OSError, ValueError) as error:
        if str(error).startswith(_WHO):
            raise
        raise _refused(folder, f"{WEIGHTS} cannot be read: {line(error)}", "a whole .safetensors file") from error


def _refused(folder: Path, what: str, needed: str) -> ValueError:
    return ValueError(
        f"{_WHO}: the adapter {line(folder.name)} is not taken ({what}), but {needed} is needed. "
        "Choose a plain LoRA that peft saved, or no adapter."
    )


def _check(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise for whatever is no plain LoRA, in words."""
    kind = config.get("peft_type")
    if kind != "LORA":
        raise _refused(folder, f"its peft_type is {line(kind)}", "LORA")
    if asked := [key for key, value in config.items() if key not in _READ | _OF_TRAINING and value]:
        raise _refused(folder, f"it asks for {line(', '.join(asked))}", "a LoRA without it")
    if config.get("bias", "none") != "none":
        raise _refused(folder, f"its bias is {line(config['bias'])}", "none")
    start = config.get("init_lora_weights", True)
    if not isinstance(start, (bool, str)) or start not in _STARTS:
        raise _refused(folder, f"its init_lora_weights is {line(start)}", "one that keeps the model's weights")
    if not isinstance(config.get("use_rslora") or False, bool):
        raise _refused(folder, f"its use_rslora is {line(config['use_rslora'])}", "true or false")
    pattern = config.get("alpha_pattern") or {}
    alphas = [config.get("lora_alpha", 8), *(pattern.values() if isinstance(pattern, dict) else [None])]
    for alpha in alphas:
        if not isinstance(alpha, (int, float)) or isinstance(alpha, bool) or not 0 < abs(alpha) < 1e6:
            raise _refused(folder, f"a lora_alpha is {line(alpha)}", "a number")
    if odd := [name for name in pattern if not _PLAIN.fullmatch(name)]:
        raise _refused(folder, f"alpha_pattern has {line(odd[0])}", "a list of plain names")


def _scale(config: Mapping[str, Any], name: str, rank: int) -> float:
    """alpha / rank; a pattern's name is a whole name or its end, as peft takes it."""
    pattern = config.get("alpha_pattern") or {}
    own = [pattern[end] for end in reversed(_ends(name)) if end in pattern]
    alpha = own[0] if own else config.get("lora_alpha", 8)
    return alpha / (rank**0.5 if config.get("use_rslora") else rank)


def _fitting(
    model: nn.Module, folder: Path, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
) -> dict[str, tuple[nn.Linear, str, str]]:
    """Name in the file -> (the model's layer, key of A, key of B), all compared with the model's shapes."""
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    sides: dict[str, dict[str, str]] = {}
    odd = []
    for key in shapes:
        match = _KEY.fullmatch(key)
        if match and _own_name(match["layer"], linear):
            sides.setdefault(match["layer"], {})[match["side"]] = key
        else:
            odd.append(key)
    found = {}
    for name, keys in sides.items():
        layer = linear[_own_name(name, linear) or name]
        down, up = shapes.get(keys.get("A", ""), ()), shapes.get(keys.get("B", ""), ())
        rank = down[0] if down else 0
        if down != (rank, layer.in_features) or up != (layer.out_features, rank) or not 0 < rank <= _most_rank(layer):
            odd.append(f"{name} {down} {up}")
        else:
            found[name] = (layer, keys["A"], keys["B"])
    own = {_own_name(name, linear) for name in found}
    odd += [name for name in _expected(linear, config) if name not in own] if not odd else []
    if odd or not found or len(own) < len(found):
        raise ValueError(
            f"{_WHO}: the adapter {line(folder.name)} and the model do not fit ({len(odd)} weights without a partner, "
            f"{', '.join(map(line, sorted(odd)[:3]))} ...), but all must. "
            "Choose the model that the adapter was trained for."
        )
    return found


def _most_rank(layer: nn.Linear) -> int:
    """A rank above the larger side buys nothing, but memory."""
    return max(layer.in_features, layer.out_features)


def _own_name(name: str, linear: Mapping[str, nn.Linear]) -> str | None:
    """What the model calls a layer of the file today."""
    if name in linear:
        return name
    for before, now in _RENAMED:
        if name.startswith(before) and (own := now + name.removeprefix(before)) in linear:
            return own
    return None


def _expected(linear: Mapping[str, nn.Linear], config: Mapping[str, Any]) -> list[str]:
    """The layers that a list of target modules means; a pattern's layers are those that the file has."""
    ends = config.get("target_modules")
    if not isinstance(ends, list) or config.get("layers_to_transform") is not None or config.get("exclude_modules"):
        return []
    plain = {end for end in ends if isinstance(end, str)}
    return [name for name in linear if not plain.isdisjoint(_ends(name))]


def _ends(name: str) -> list[str]:
    """a.b.c -> c, b.c, a.b.c"""
    parts = name.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]
