"""RF-Solver: inversion and edit by the midpoint rule, two model calls a step."""

from collections.abc import Callable

import torch
from torch import Tensor

from .plan import Edited, Field, Plan, Seen, estimate

LEAST = 1e-3
"""The least noise level at which a velocity is asked: at 0 the host's estimate x - 0 v holds none."""
Evaluate = Callable[[Tensor, Tensor, int], Tensor]


def midpoint(x: Tensor, begin: Tensor, end: Tensor, evaluate: Evaluate) -> tuple[Tensor, Tensor]:
    """x + h v(x + h/2 v(x, t), t + h/2), h = end - begin.

    The published form x + h v + h^2/2 v', v' = (v_mid - v) / (h/2), is the same.

    Args:
        evaluate: (x, sigma, call): velocity in the step's first (0) and second (1) call.
    Returns:
        the latent at `end`, and the second velocity.
    Source: RF-Solver-Edit, flux/sampling.py.
    """
    h = end - begin
    v = evaluate(x, begin, 0)
    v_mid = evaluate(x + h / 2 * v, begin + h / 2, 1)
    return x + h * v_mid, v_mid


def edit(clean: Tensor, field: Field, plan: Plan, seen: Seen) -> Edited:
    """Invert and edit by the midpoint rule; both calls of an injected step hand over their values.

    As published, the first call's values come from the step's cleaner end and go to its noisier one.
    """
    latents = _invert(clean, field, plan, seen)
    t = again = latents[plan.start]
    for i in plan.taken:
        if plan.key(i) is not None and not field.holds((i, 1)):
            _up(latents[i + 1], field, plan, i, keep=True)

        def by_target(x: Tensor, sigma: Tensor, call: int, step: int = i) -> Tensor:
            return field.target(x, sigma, plan.key(step, call))

        t, v = midpoint(t, plan.sigmas[i], plan.sigmas[i + 1], by_target)
        t = plan.blended(t, latents[i + 1])
        seen(t, estimate(t, plan.sigmas[i + 1], v))
    for i in plan.taken:
        again, v = midpoint(again, plan.sigmas[i], plan.sigmas[i + 1], lambda x, sigma, _: field.source(x, sigma))
        seen(again, estimate(again, plan.sigmas[i + 1], v))
    return Edited(t, again)


def _invert(clean: Tensor, field: Field, plan: Plan, seen: Seen) -> list[Tensor]:
    """latents[i] at sigmas[i]."""
    latents = [clean] * (plan.steps + 1)
    for i in reversed(plan.taken):
        latents[i], v = _up(latents[i + 1], field, plan, i, keep=field.ahead)
        seen(latents[i], estimate(latents[i], plan.sigmas[i], v))
    return latents


def _up(x: Tensor, field: Field, plan: Plan, step: int, keep: bool) -> tuple[Tensor, Tensor]:
    """One step of the inversion, from sigmas[step + 1] to sigmas[step]."""

    def by_source(x: Tensor, sigma: Tensor, call: int) -> Tensor:
        return field.source(x, torch.clamp(sigma, min=LEAST), plan.key(step, call) if keep else None)

    return midpoint(x, plan.sigmas[step + 1], plan.sigmas[step], by_source)
