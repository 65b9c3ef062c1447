"""Optimisers, and learning rates as a pure function of the step."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .config import Average, Optimiser

if TYPE_CHECKING:
    from diffusers.training_utils import EMAModel


def make(settings: Optimiser, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser that the config names, over `parameters`.

    Prodigy finds its own step size; bias correction and the safeguard for warm-ups are on, as published.
    """
    shared: dict[str, Any] = {"lr": settings.rate, "weight_decay": settings.weight_decay, "betas": settings.betas}
    if settings.name == "adamw":
        return torch.optim.AdamW(parameters, **shared)
    from prodigyopt import Prodigy

    with contextlib.redirect_stdout(io.StringIO()):  # it prints that weight decay is decoupled
        return Prodigy(parameters, **shared, use_bias_correction=True, safeguard_warmup=True)


def set_rate(optimiser: torch.optim.Optimizer, settings: Optimiser, step: int, steps: int) -> float:
    """Put the learning rate of `step` (from 0) of `steps` in force and return it."""
    rate = settings.rate * factor(settings, step, steps)
    for group in optimiser.param_groups:
        group["lr"] = rate
    return rate


def factor(settings: Optimiser, step: int, steps: int) -> float:
    """Share of the full rate: a linear warm-up, then 1, then the fall that begins at `decay_from` of the way.

    The fall would reach 0 one step after the last, so no step is without effect.
    """
    rising = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    begin = settings.decay_from * steps
    way = max(0.0, (step - begin) / (steps - begin))
    falling = {"constant": 1.0, "linear": 1 - way, "cosine": 0.5 * (1 + math.cos(math.pi * way))}[settings.schedule]
    return rising * falling


def found_scale(optimiser: torch.optim.Optimizer) -> float | None:
    """Prodigy's estimate d, which multiplies the learning rate; None for other optimisers."""
    d = optimiser.param_groups[0].get("d")
    return None if d is None else float(d)


def make_average(settings: Average, parameters: Iterable[nn.Parameter]) -> EMAModel | None:
    """diffusers' moving average of `parameters`, or None when decay is 0.

    It averages what it is given; torch's AveragedModel would copy the whole frozen base as well.
    """
    if not settings.decay:
        return None
    from diffusers.training_utils import EMAModel

    return EMAModel(parameters, decay=settings.decay, foreach=True)
