"""What a checkpoint holds, compared with the training at hand before it is taken over.

A tensor of another shape would only fail at a later step, and a switch of the optimiser (`maximize`, another `eps`)
would train something else without a word. Settings are therefore the configuration's; from the file come only the
numbers that training moves, each of the form that this training writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

_MOVING = ("d", "d_max", "d_numerator", "d_denom", "d_hat", "k")  # Prodigy's, in each group
_ADAMW = {"step", "exp_avg", "exp_avg_sq"}
_PRODIGY = _ADAMW | {"s", "p0"}


def tensors(found: Mapping[str, Any], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Tensors by name, if names and shapes are those of `own` and all hold floats.

    Raises:
        ValueError: what is different.
    """
    for name, tensor in own.items():
        _check_tensor(name, found[name], tensor.shape)
    return found


def optimiser_state(found: Mapping[str, Any], optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """For `optimiser.load_state_dict`: its own settings, with the moments and moving numbers of the file.

    Raises:
        ValueError: what has another form than this optimiser writes.
    """
    own = optimiser.state_dict()["param_groups"]
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    groups, state = found["param_groups"], found["state"]
    if len(groups) != len(own):
        raise ValueError(f"its optimiser has {len(groups)} groups, not {len(own)}")
    for index, moments in state.items():
        if type(index) is not int or not 0 <= index < len(parameters):
            raise ValueError("its optimiser has other parameters")
        _check_moments(moments, parameters[index], _PRODIGY if "d" in own[0] else _ADAMW)
    return {"state": dict(state), "param_groups": [_settings(*pair) for pair in zip(groups, own, strict=True)]}


def _settings(found: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    moved = {name: number(name, found[name]) for name in _MOVING if name in own or ("d" in own and name in found)}
    return {**own, **moved}


def _check_moments(moments: Mapping[str, Any], parameter: Tensor, names: set[str]) -> None:
    if set(moments) != names:
        raise ValueError(f"its optimiser has {', '.join(map(str, moments))} of a parameter, not {', '.join(names)}")
    for name in names - {"step"}:
        flat = name in ("s", "p0")
        if name == "p0" and isinstance(moments[name], Tensor) and moments[name].numel() == 1:
            continue  # of a parameter that began as zeros
        _check_tensor(name, moments[name], parameter.flatten().shape if flat else parameter.shape)
    step = moments["step"]
    number("step", step.item() if isinstance(step, Tensor) and step.numel() == 1 else step)


def average_state(found: Mapping[str, Any], own: Mapping[str, Any], parameters: Sequence[Tensor]) -> dict[str, Any]:
    """For the moving average's `load_state_dict`: its own settings, with the averages and their number of the file.

    Raises:
        ValueError: what has another form.
    """
    shadows, steps = found["shadow_params"], found["optimization_step"]
    if not isinstance(shadows, list) or len(shadows) != len(parameters):
        raise ValueError("its averages are of other parameters")
    for shadow, parameter in zip(shadows, parameters, strict=True):
        _check_tensor("an average", shadow, parameter.shape)
    if type(steps) is not int or steps < 0:
        raise ValueError("the number of its averages is none")
    return {**own, "shadow_params": shadows, "optimization_step": steps}


def counts(found: Mapping[str, Any], experts: int) -> dict[str, list[int]]:
    """Tokens by layer and expert.

    Raises:
        ValueError: of another number of experts, or no numbers.
    """
    for tokens in found.values():
        if not isinstance(tokens, list) or len(tokens) != experts or not all(type(n) is int and n >= 0 for n in tokens):
            raise ValueError("its counts of tokens are of other experts")
    return dict(found)


def number(name: str, value: object) -> Any:
    """A finite number as it is.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1 << 60:  # NaN is not
        raise ValueError(f"its {name} is no number")
    return value


def _check_tensor(name: str, found: object, shape: torch.Size) -> None:
    if not isinstance(found, Tensor) or found.layout is not torch.strided or not found.is_floating_point():
        raise ValueError(f"{name} is no tensor of floats")
    if found.shape != shape:
        raise ValueError(f"{name} is of shape {tuple(found.shape)}, not {tuple(shape)}")
