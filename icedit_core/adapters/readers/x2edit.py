"""X2Edit's published layout: MoE-LoRA on attention projections, with a table of task embeddings.

Source: OPPO-Mente-Lab/X2Edit (key names of `lora.safetensors` and `task_embeddings.bin`; their meaning is that of its
attention processors). Our one file, made by `icedit convert`, keeps these names and adds AlignNet's under `align.`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from torch import Tensor

from ..names import listed, shown
from ..weights import Adapter, LowRank, Routed
from .tensors import floats

WHO = "ICEdit X2Edit file"
TASKS = "task_embeddings.weight"
TASK = "task"  # of `Adapter.contexts`: (16, width of the model), one row a task; row 0 is for any other task
ALIGN = "align."
TASK_COUNT = 16
TOP_K = 2  # experts per token; the published code has it as a constant
GATES = "softmax_then_top_k"
_KEY = re.compile(
    r"(?P<block>(?:single_)?transformer_blocks\.[0-9]{1,4})\.attn\.processor\.(?P<part>q|k|v|proj)_moe_lora\."
    r"(?:(?P<gate>gate)|(?:experts\.(?P<expert>[0-9]{1,4})|shared_experts)\.(?P<side>down|up))\.weight"
)
_LAYERS = {"q": "attn.to_q", "k": "attn.to_k", "v": "attn.to_v", "proj": "attn.to_out.0"}
_MOST_RANK = 1024  # published: 64
_MOST_WIDTH = 1 << 14  # published: 3072

Pairs = dict[int | None, dict[str, Tensor]]


def claims(keys: Collection[str]) -> bool:
    """Whether any tensor has a name of this layout."""
    return any("_moe_lora." in key for key in keys)


def read(tensors: Mapping[str, Tensor]) -> Adapter:
    """Read X2Edit's adapter from its one file; AlignNet's tensors are left alone.

    Its layers are routed alone, by diffusers' names; each router reads the token, then its task's embedding.

    Args:
        tensors: file key -> tensor. All names are looked at before the first tensor.
    Raises:
        ValueError: another adapter, keys of another format (listed), the task embeddings, half of a pair, an expert, a
            shared expert or a router missing, shapes that do not fit each other, or values that are not finite.
    """
    check_names(tensors)
    if TASKS not in tensors:
        raise ValueError(
            f"{WHO}: these are X2Edit's experts alone, but their routers read the task embeddings too. Put "
            "lora.safetensors, task_embeddings.bin and diffusion_pytorch_model.bin in one folder and make one file of "
            "them: python -m icedit_core.cli convert FOLDER NEW.safetensors, in the folder of this pack."
        )
    tasks = floats(TASKS, tensors[TASKS], dimensions=2)
    if tasks.shape[0] != TASK_COUNT or tasks.shape[1] > _MOST_WIDTH:
        raise ValueError(
            f"{WHO}: {TASKS} is {tuple(tasks.shape)}, but it needs {TASK_COUNT} rows, one a task, of at most "
            f"{_MOST_WIDTH} numbers. The file is damaged or of another version: convert the published files again."
        )
    layers: dict[str, Pairs] = {}
    gates: dict[str, Tensor] = {}
    for key in tensors:
        if match := _KEY.fullmatch(key):
            layer = f"{match['block']}.{_LAYERS[match['part']]}"
            pairs, tensor = layers.setdefault(layer, {}), floats(key, tensors[key], dimensions=2)
            if match["gate"]:
                gates[layer] = tensor
            else:
                pairs.setdefault(int(match["expert"]) if match["expert"] else None, {})[match["side"]] = tensor
    routed = {layer: _routed(layer, pairs, gates.get(layer), tasks.shape[1]) for layer, pairs in layers.items()}
    return Adapter({}, routed, {TASK: tasks})


def read_align(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """AlignNet's tensors in X2Edit's one file, by their published names; the experts are left alone.

    Raises:
        ValueError: another adapter, no AlignNet in it, or values that are not finite.
    """
    check_names(tensors)
    names = [key for key in tensors if key.startswith(ALIGN)]
    if not names:
        raise ValueError(
            f"{WHO}: there is no AlignNet in it, but the text path needs that. Convert X2Edit's three published files."
        )
    found = {key.removeprefix(ALIGN): tensors[key] for key in names}
    return {key: floats(ALIGN + key, tensor, tensor.ndim) for key, tensor in found.items()}


def check_names(keys: Collection[str]) -> None:
    """Refuse files that are not X2Edit's by the names of their tensors."""
    if any(".lora_A." in key or ".lora_B." in key or ".lora_route." in key for key in keys):
        raise ValueError(
            f"{WHO}: this is a LoRA or ICEdit's MoE-LoRA ({listed(keys, 1)}), but X2Edit's adapter is needed. "
            "Load ICEdit's with ICEdit Load LoRA on FLUX.1 Fill, any other LoRA with ComfyUI's own loader."
        )
    unknown = [key for key in keys if not (_KEY.fullmatch(key) or key == TASKS or key.startswith(ALIGN))]
    if unknown or not any(_KEY.fullmatch(key) for key in keys):
        raise ValueError(
            f"{WHO}: {len(unknown)} of {len(keys)} tensors are not X2Edit's ({listed(unknown) or 'it holds none'}), "
            "but its experts on FLUX.1 are needed. Choose a file that 'icedit convert' made."
        )


def _routed(layer: str, pairs: Pairs, router: Tensor | None, task_width: int) -> Routed:
    if router is None or None not in pairs:
        raise ValueError(f"{WHO}: {shown(layer)} lacks its {'gate' if router is None else 'shared expert'}. {_AGAIN}")
    updates = {number: _pair(layer, number, sides) for number, sides in pairs.items()}
    shared = updates.pop(None)
    numbers = sorted(number for number in updates if number is not None)
    if numbers != list(range(router.shape[0])):
        raise ValueError(
            f"{WHO}: {shown(layer)} has the experts {listed(map(str, numbers))}, but its gate picks among "
            f"{router.shape[0]}, numbered from 0. {_AGAIN}"
        )
    experts = tuple(updates[number] for number in numbers)
    shapes = {(tuple(pair.down.shape), tuple(pair.up.shape)) for pair in experts}
    sides = {(pair.down.shape[1], pair.up.shape[0]) for pair in (*experts, shared)}
    if (ranks := sum(pair.rank for pair in experts)) > (most := max(_MOST_RANK, *shared.down.shape, *shared.up.shape)):
        raise ValueError(
            f"{WHO}: {shown(layer)} has {len(experts)} experts of rank {ranks} in all, but a layer needs at most "
            f"{most}. The file is damaged or made to fill the memory: use another."
        )
    width = shared.down.shape[1] + task_width
    if len(shapes) > 1 or len(sides) > 1 or router.shape[1] != width:
        raise ValueError(
            f"{WHO}: {shown(layer)} has experts {listed(map(str, sorted(shapes)))} and a gate {tuple(router.shape)}, "
            f"but all experts must be alike and the gate must read token and task, {width} values. {_AGAIN}"
        )
    return Routed(router, experts, shared, GATES, layer.endswith(_LAYERS["proj"]), TASK)


def _pair(layer: str, number: int | None, sides: dict[str, Tensor]) -> LowRank:
    name = f"{shown(layer)}, {'shared expert' if number is None else f'expert {number}'}"
    if len(sides) != 2:
        raise ValueError(f"{WHO}: {name} has '{''.join(sides)}' alone, but down and up are needed. {_AGAIN}")
    down, up = sides["down"], sides["up"]
    if down.shape[0] != up.shape[1] or down.shape[0] > _MOST_RANK:
        raise ValueError(
            f"{WHO}: {name} has down {tuple(down.shape)} and up {tuple(up.shape)}, but down (rank, in) and up "
            f"(out, rank) must share a rank of at most {_MOST_RANK}. {_AGAIN}"
        )
    return LowRank(down, up)


_AGAIN = "The file is incomplete or damaged: download X2Edit's files again and convert them."
