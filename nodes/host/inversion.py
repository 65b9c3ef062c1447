"""ICEdit DirectEdit's one sampling: inversion and edit in one call of the host's sampler that ends at noise level 0."""

from typing import Any

import comfy.model_management
import comfy.sample
import torch
from torch import Tensor

from ...icedit_core.inversion import METHODS, STEPS, WHO, Edited, Plan, relative_error
from ...icedit_core.inversion.values import Values, rule
from . import fill, one_call
from .inversion_inputs import Asked, mask_of, require, sigmas
from .value_hooks import blocks_of, free_memory, hand_over
from .velocity import SOURCE, TARGET, TwoPrompts, Velocity, embeds, with_guidance

PUBLISHED_FOR = {
    "directedit": ("FLUX.1 dev or Kontext", "Stable Diffusion 3"),
    "rf_solver": ("FLUX.1 dev or Kontext",),
    "flowedit": ("FLUX.1 dev or Kontext", "Stable Diffusion 3"),
}


def edit(model, source, target, negative, latent: dict[str, Any], asked: Asked) -> tuple[dict, dict, str]:
    """Edit by inversion.

    Args:
        model: the host's MODEL; left as it is.
        source, target: CONDITIONING of the picture's and of the edit's caption.
        negative: where guidance is classifier-free.
        latent: LATENT of the picture.
    Returns:
        the edit and the reconstruction as LATENT, and a report.
    Raises:
        ValueError: what cannot be, by name.
    """
    require(model, source, target, latent)
    clean = comfy.sample.fix_empty_latent_channels(model, latent["samples"])
    plan = Plan(
        sigmas(model, asked, clean),
        asked.start_step,
        asked.injected_steps,
        mask_of(model, asked, latent, clean),
        asked.seed,
    )
    guider, values = _guider(model, source, target, negative, asked, plan)
    run = _Run(guider, plan, asked.method, values)
    out = run.sample(clean)
    # Where the difference is exactly 0 the source's latent comes back itself, not what scaling makes of it.
    same = run.edited.latent == run.clean
    samples = torch.where(same.to(out.device), clean.to(out), out)
    again = back(model, run.edited.reconstruction, run.clean, clean)
    kept = {key: value for key, value in latent.items() if not key.startswith("downscale_ratio")}
    return kept | {"samples": samples}, kept | {"samples": again}, _report(model, asked, run, values)


class _Run:
    """One call of the host's sampler."""

    def __init__(self, guider: TwoPrompts, plan: Plan, method: str, values: Values | None):
        self.guider, self.plan, self.method, self.values = guider, plan, method, values
        self.calls = 0
        self.clean: Tensor
        self.edited: Edited

    def sample(self, latent: Tensor) -> Tensor:
        total = STEPS[self.method] * len(self.plan.taken)
        noise = torch.zeros_like(latent, dtype=torch.float32, device="cpu")
        return one_call.sample(self.guider, self._sampler, noise, latent, self.plan, total, self.values)

    def _sampler(self, model, x, sigmas, extra_args=None, callback=None, disable=None) -> Tensor:
        field = Velocity(self.guider, model, extra_args, self.values)
        plan = self.plan
        mask = None if plan.mask is None else plan.mask.to(x)
        own = Plan(plan.sigmas.to(x), plan.start, plan.inject, mask, plan.seed)
        self.clean = model.latent_image
        self.edited = METHODS[self.method](self.clean, field, own, one_call.watched(callback))
        self.calls = field.calls
        return self.edited.latent


def _guider(model, source, target, negative, asked: Asked, plan: Plan) -> tuple[TwoPrompts, Values | None]:
    values, own = None, model.clone()
    if plan.inject:
        found = blocks_of(model)
        if not found:
            raise ValueError(
                f"{WHO}: injected_steps is {plan.inject}, but values can be handed over in FLUX and Stable Diffusion 3 "
                f"alone, and the model is {fill.name_of(model)}. Set injected_steps to 0."
            )
        chosen = rule(asked.blocks, asked.method, found, fill.name_of(model))
        keys = plan.inject * (2 if asked.method == "rf_solver" else 1)
        store = "replay" if asked.method == "flowedit" else asked.values
        values = Values(chosen, asked.tokens, keys, store, free_memory)
        hand_over(own, values)
    guider = TwoPrompts(own)
    if embeds(model):
        source, target = (
            with_guidance(one, scale) for one, scale in zip((source, target), asked.guidance, strict=True)
        )
        guider.set_sides(source, target)
        return guider, values
    if negative is None and any(scale != 1 for scale in asked.guidance):
        raise ValueError(
            f"{WHO}: {fill.name_of(model)} has no guidance embedding, and guidance is {asked.guidance[0]:g} and "
            f"{asked.guidance[1]:g}, so a negative conditioning is needed. Connect the empty prompt to negative, or "
            "set both to 1."
        )
    guider.scales = {SOURCE: asked.guidance[0], TARGET: asked.guidance[1]}
    guider.set_sides(source, target, negative)
    return guider, values


def back(model, latent: Tensor, clean: Tensor, given: Tensor) -> Tensor:
    """A latent in the model's scale as the host hands it on; the source's own values where nothing differs."""
    out = model.model.process_latent_out(latent.float()).to(comfy.model_management.intermediate_device())
    return torch.where((latent == clean).to(out.device), given.to(out), out)


def _report(model, asked: Asked, run: _Run, values: Values | None) -> str:
    name = fill.name_of(model)
    steps = len(run.plan.taken)
    lines = [f"{asked.method} on {name}: {steps} steps, {run.calls} model calls."]
    if name not in PUBLISHED_FOR.get(asked.method, ()):
        lines.append(f"Experimental: nothing is published for {asked.method} on {name}.")
    if torch.equal(run.edited.latent, run.clean):
        lines.append("The edit is the source itself: nothing differs between the prompts, or the mask is empty.")
    error = relative_error(run.edited.reconstruction, run.clean)
    lines.append(f"Reconstruction error {error:.2g} of the latent.")
    if values is not None:
        lines.append(values.report(run.plan.inject))
    if asked.blocks != "published" and not run.plan.inject:
        lines.append("blocks is not used: injected_steps is 0.")
    return " ".join(lines)
