"""ICEdit Diptych From Noise's one sampling: panel inverted, diptych painted, in one call of the host's sampler."""

from typing import Any, NamedTuple

import comfy.ldm.flux.model
import comfy.sample
import comfy.samplers
import torch
from torch import Tensor

from ...icedit_core.inversion import Plan, relative_error, schedules
from ...icedit_core.inversion.diptych import WHO, paint
from ...icedit_core.inversion.values import Values, rule
from ...icedit_core.panels import left, left_tokens, right
from ...icedit_core.pixels import covered
from . import fill, one_call
from .inversion import back
from .inversion_inputs import require
from .value_hooks import blocks_of, free_memory, hand_over
from .velocity import SOURCE, TwoPrompts, Velocity, embeds, with_guidance

FLUX = "flux"  # the schedule of FLUX.1's own pipeline
PUBLISHED_FOR = "FLUX.1 dev or Kontext"
PLACES = ("area", "mask")
"""What ties a conditioning to a part of the picture."""
WHOLE = ("control", "gligen", "reference_latents")
"""What a conditioning may hold that was made for the whole diptych and cannot be cut to the panel."""
MOST_APART = 0.5  # relative; an autoencoder sees the same picture twice a little differently, by a few percent


class Asked(NamedTuple):
    """The node's inputs beside model, conditionings and latent."""

    steps: int
    guidance: tuple[float, float]  # source, diptych
    inject: float
    blocks: str
    lock: bool
    schedule: str
    values: str
    seed: int


def edit(model, source, positive, latent: dict[str, Any], asked: Asked) -> tuple[dict, str]:
    """Invert the left panel and paint the right one from fresh noise.

    Args:
        model: the host's MODEL; left as it is.
        source: CONDITIONING of the picture's caption.
        positive: CONDITIONING of the in-context prompt.
        latent: LATENT of the diptych, source beside source.
    Returns:
        the diptych as LATENT, and a report.
    Raises:
        ValueError: what cannot be, by name.
    """
    require(model, source, positive, latent, WHO)
    rows, columns = _grid(model, source, positive, latent)
    both = comfy.sample.fix_empty_latent_channels(model, latent["samples"])
    plan = Plan(
        _sigmas(model, asked, 2 * rows * columns), inject=round(asked.inject * asked.steps), seed=asked.seed, who=WHO
    )
    own, values = model.clone(), None
    if plan.inject:
        chosen = rule(asked.blocks, "", blocks_of(model), fill.name_of(model), WHO)
        into = left_tokens(rows, columns)
        values = Values(chosen, "image", plan.inject, asked.values, free_memory, into, WHO)
        hand_over(own, values)
    if embeds(model):
        source, positive = (with_guidance(c, g) for c, g in zip((source, positive), asked.guidance, strict=True))
    guider = Halves(own)
    guider.set_sides(_of_panel(source), positive)
    run = _Run(guider, plan, asked.lock, values)
    out = run.sample(both, comfy.sample.prepare_noise(right(both), asked.seed, latent.get("batch_index")))
    kept = {key: value for key, value in latent.items() if not key.startswith(("downscale_ratio", "noise_mask"))}
    panel = back(model, left(run.made), run.clean, left(both))
    return kept | {"samples": torch.cat([panel, right(out)], -1)}, _report(model, run, values)


class Halves(TwoPrompts):
    """The host's guider whose source is a panel, half as wide as the diptych."""

    def inner_sample(self, noise, latent_image, device, *rest, **more):
        panels = {SOURCE: self.conds.pop(SOURCE)}
        self.panel = comfy.samplers.process_conds(self.inner_model, left(noise), panels, device, left(latent_image))
        return super().inner_sample(noise, latent_image, device, *rest, **more)

    def predict_noise(self, x, timestep, model_options={}, seed=None):  # noqa: B006 (the host's signature)
        if self.side != SOURCE:
            return super().predict_noise(x, timestep, model_options, seed)
        return comfy.samplers.sampling_function(
            self.inner_model, x, timestep, None, self.panel[SOURCE], 1.0, model_options=model_options, seed=seed
        )


class _Run:
    """One call of the host's sampler."""

    def __init__(self, guider: Halves, plan: Plan, lock: bool, values: Values | None):
        self.guider, self.plan, self.lock, self.values = guider, plan, lock, values
        self.calls = 0
        self.clean: Tensor
        self.made: Tensor

    def sample(self, latent: Tensor, fresh: Tensor) -> Tensor:
        """The diptych, (B, C, h, 2w), in the VAE's scale.

        Args:
            fresh: (B, C, h, w), the right half's noise.
        """
        noise, total = torch.cat([torch.zeros_like(fresh), fresh], -1), 2 * self.plan.steps
        return one_call.sample(self.guider, self._sampler, noise, latent, self.plan, total, self.values)

    def _sampler(self, model, x, sigmas, extra_args=None, callback=None, disable=None) -> Tensor:
        field = Velocity(self.guider, model, extra_args, self.values)
        plan = Plan(sigmas, inject=self.plan.inject, who=WHO)
        self.clean = left(model.latent_image)
        self.made = paint(self.clean, right(model.noise), field, plan, one_call.watched(callback), self.lock)
        self.calls = field.calls
        return self.made


def _grid(model, source, positive, latent: dict[str, Any]) -> tuple[int, int]:
    """(rows, columns) of the panel's tokens.

    Raises:
        ValueError: a model other than FLUX, a latent that is no diptych, or conditionings of a part of it.
    """
    network, name = model.get_model_object("diffusion_model"), fill.name_of(model)
    if not isinstance(network, comfy.ldm.flux.model.Flux):
        raise ValueError(
            f"{WHO}: the model is {name}, but FLUX is needed: the panel's tokens must stand where the diptych's left "
            "half has them, and values can be handed over there. Load FLUX.1 dev."
        )
    samples, patch = latent["samples"], network.patch_size
    height, width = samples.shape[-2:]
    if width % (2 * patch):
        raise ValueError(
            f"{WHO}: the latent is {width} wide, but two halves of whole tokens are needed, so a multiple of "
            f"{2 * patch}. Connect VAE Encode of ICEdit Diptych's diptych."
        )
    apart = relative_error(right(samples), left(samples))
    if apart > MOST_APART:
        raise ValueError(
            f"{WHO}: the halves of the latent differ by {apart:.0%}, but the same picture twice is needed. Connect VAE "
            "Encode of ICEdit Diptych's diptych."
        )
    _conditionings(name, source, positive)
    return -(-height // patch), width // (2 * patch)


def _conditionings(name: str, source, positive) -> None:
    for side, conditioning, keys in (("source", source, (*PLACES, *WHOLE)), ("positive", positive, PLACES)):
        for _, values in conditioning:
            if held := [key for key in keys if values.get(key) is not None]:
                raise ValueError(
                    f"{WHO}: the {side} conditioning holds {', '.join(held)}, but source is read with the left panel "
                    "and positive with the whole diptych. Take it out."
                )
            mask = values.get("concat_mask")
            if mask is not None and not covered(mask).all():
                raise ValueError(
                    f"{WHO}: {name} is given a part of the picture, but this node makes the diptych from noise. Give "
                    "InpaintModelConditioning a mask of 1 everywhere, or sample with a KSampler."
                )


def _sigmas(model, asked: Asked, tokens: int) -> Tensor:
    """Noise levels for the panel and the diptych alike: values belong to a noise level.

    Args:
        tokens: of the diptych.
    """
    if asked.schedule != FLUX:
        kind = model.get_model_object("model_sampling")
        return comfy.samplers.calculate_sigmas(kind, asked.schedule, asked.steps).cpu()
    if not fill.input_channels(model):
        raise ValueError(
            f"{WHO}: the schedule is FLUX.1's own, but the model is {fill.name_of(model)}. Choose one of ComfyUI's, "
            "such as simple."
        )
    return schedules.pipeline(asked.steps, tokens)


def _of_panel(conditioning):
    """The conditioning with the left half of what InpaintModelConditioning put beside the noise."""
    halved = ("concat_latent_image", "concat_mask")
    return [
        [text, {key: left(value) if key in halved else value for key, value in values.items()}]
        for text, values in conditioning
    ]


def _report(model, run: _Run, values: Values | None) -> str:
    name = fill.name_of(model)
    lines = [f"Diptych from noise on {name}: {run.plan.steps} steps, {run.calls} model calls."]
    if name != PUBLISHED_FOR:
        lines.append(f"Experimental: the authors used FLUX.1 dev, not {name}.")
    if values is not None:
        lines.append(values.report(run.plan.inject))
    if run.lock:
        lines.append("The left panel is locked to the source.")
    else:
        lines.append(f"The left panel is free: off by {relative_error(left(run.made), run.clean):.2g} of its latent.")
    return " ".join(lines)
