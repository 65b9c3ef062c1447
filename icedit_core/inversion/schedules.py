"""The published schedules of noise levels, by method and kind of model; each ends at 0."""

import math

import torch
from torch import Tensor

FLUX, SD3 = "flux", "sd3"
LEAST = 0.001  # the schedulers' lowest level before shifting
SD3_SHIFT = 3.0


def flux_mu(tokens: int) -> float:
    """The shift of FLUX.1's schedule: .5 at 256 image tokens, 1.15 at 4096, on a line."""
    return 0.5 + (tokens - 256) / (4096 - 256) * (1.15 - 0.5)


def published(method: str, kind: str, steps: int, tokens: int) -> Tensor | None:
    """The schedule that a method was published with, (steps + 1,) float32; None where none was.

    DirectEdit leaves its scheduler's own grid in force, whose last level before 0 is about .003: the last step is
    nearly empty. RF-Solver shifts 1 to 0, FlowEdit the pipeline's 1 to 1/steps. On SD3.5 the scheduler shifts its
    lowest level twice.

    Args:
        kind: FLUX or SD3.
        tokens: of the image, for FLUX.
    Source: DirectEdit (recorded runs agree to 3e-8), RF-Solver-Edit flux/sampling.py, FlowEdit's FLUX pipeline.
    """
    if kind == SD3:
        grid = torch.linspace(1, _sd3(LEAST), steps, dtype=torch.float64)
        return None if method == "rf_solver" else _ending(_sd3(grid))
    mu = flux_mu(tokens)
    if method == "rf_solver":
        return _ending(_flux(torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:-1], mu))
    if method == "flowedit":
        return pipeline(steps, tokens)
    return _ending(_flux(torch.linspace(1, LEAST, steps, dtype=torch.float64), mu))


def pipeline(steps: int, tokens: int) -> Tensor:
    """FLUX.1's usual schedule, (steps + 1,) float32: 1 to 1/steps, shifted for the number of image tokens.

    Source: diffusers, FLUX's pipeline.
    """
    return _ending(_flux(torch.linspace(1, 1 / steps, steps, dtype=torch.float64), flux_mu(tokens)))


def _flux(u: Tensor, mu: float) -> Tensor:
    return math.exp(mu) / (math.exp(mu) + 1 / u - 1)


def _sd3(x):
    return SD3_SHIFT * x / (1 + (SD3_SHIFT - 1) * x)


def _ending(sigmas: Tensor) -> Tensor:
    return torch.cat([sigmas, sigmas.new_zeros(1)]).float()
