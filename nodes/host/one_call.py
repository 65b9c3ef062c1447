"""One call of the host's sampler in which a picture goes to noise and comes back."""

from collections.abc import Callable

import comfy.model_management
import comfy.samplers
import comfy.utils
import latent_preview
from torch import Tensor

from ...icedit_core.inversion import Plan
from ...icedit_core.inversion.values import Values
from .velocity import TwoPrompts

Seen = Callable[[Tensor, Tensor], None]


def sample(
    guider: TwoPrompts, sampler: Callable, noise: Tensor, latent: Tensor, plan: Plan, total: int, values: Values | None
) -> Tensor:
    """What `sampler` makes of the latent, in the VAE's scale; captured values are dropped, whatever happens.

    Args:
        sampler: with the host's signature.
        total: steps that the progress shows.
    """
    show = latent_preview.prepare_callback(guider.model_patcher, total)
    try:
        samples = guider.sample(
            noise,
            latent,
            comfy.samplers.KSAMPLER(sampler),
            plan.sigmas[plan.start :],
            callback=lambda step, x0, x, _total: show(step, x0, x, total),
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=plan.seed,
        )
    finally:
        if values is not None:
            values.clear()
    return samples.to(comfy.model_management.intermediate_device())


def watched(callback: Callable) -> Seen:
    """Tells the host of each state and its x0, counting the steps."""
    step = 0

    def seen(state: Tensor, x0: Tensor) -> None:
        nonlocal step
        callback({"i": step, "denoised": x0, "x": state})
        step += 1

    return seen
