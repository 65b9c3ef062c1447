"""What ICEdit DirectEdit is given, checked and brought to the model's terms before anything is sampled."""

from typing import Any, NamedTuple

import comfy.model_sampling
import comfy.samplers
from comfy.model_base import SD3
from torch import Tensor

from ...icedit_core.inversion import WHO, masks, schedules
from . import fill

FLUX_PATCH = 2


class Asked(NamedTuple):
    """The node's inputs beside model, conditionings and latent."""

    method: str
    steps: int
    guidance: tuple[float, float]  # source, target
    injected_steps: int
    blocks: str
    tokens: str
    schedule: str
    start_step: int
    mask: Tensor | None
    mask_pooling: str
    dilation: int
    values: str
    seed: int


def require(model, source, target, latent: dict[str, Any], who: str = WHO) -> None:
    """Refuse what cannot be inverted.

    Raises:
        ValueError: in `who`'s name: no flow model, no picture, skipped model calls, FLUX.1 Fill without its picture.
    """
    name = fill.name_of(model)
    kind = model.get_model_object("model_sampling")
    if not isinstance(kind, comfy.model_sampling.CONST) or isinstance(kind, comfy.model_sampling.IMG_TO_IMG_FLOW):
        raise ValueError(
            f"{who}: {name} is not a flow model, but inversion follows a flow's velocity. Load FLUX.1 dev or Stable "
            "Diffusion 3.5, or another flow model."
        )
    samples = latent["samples"]
    if samples.is_nested or not samples.any():
        raise ValueError(
            f"{who}: the latent is {'nested' if samples.is_nested else 'empty'}, but the picture to edit is needed. "
            "Connect VAE Encode of it."
        )
    if "easycache" in model.model_options.get("transformer_options", {}):
        raise ValueError(
            f"{who}: EasyCache or LazyCache skips model calls by the ones before, but inversion and edit take turns. "
            "Take it out before this node."
        )
    channels = fill.input_channels(model)
    for side, conditioning in (("source", source), ("target", target)):
        if (
            channels
            and channels > fill.LATENT_CHANNELS
            and not all("concat_latent_image" in c for _, c in conditioning)
        ):
            raise ValueError(
                f"{who}: {name} reads a picture beside the noise, but the {side} conditioning has none. Send both "
                "through InpaintModelConditioning with a mask of 1 everywhere: then it is a text-to-image model."
            )


def sigmas(model, asked: Asked, clean: Tensor) -> Tensor:
    if asked.schedule != "published":
        return comfy.samplers.calculate_sigmas(
            model.get_model_object("model_sampling"), asked.schedule, asked.steps
        ).cpu()
    kind = schedules.SD3 if isinstance(model.model, SD3) else schedules.FLUX if fill.input_channels(model) else None
    tokens = -(-clean.shape[-2] // FLUX_PATCH) * -(-clean.shape[-1] // FLUX_PATCH)
    found = schedules.published(asked.method, kind, asked.steps, tokens) if kind else None
    if found is None:
        raise ValueError(
            f"{WHO}: no schedule is published for {asked.method} on {fill.name_of(model)}. Choose one of ComfyUI's, "
            "such as simple."
        )
    return found


def mask_of(model, asked: Asked, latent: dict[str, Any], clean: Tensor) -> Tensor | None:
    own = latent.get("noise_mask")
    if asked.mask is not None and own is not None:
        raise ValueError(
            f"{WHO}: a mask is connected and the latent has a noise mask too, but one is needed. Take out Set Latent "
            "Noise Mask, or disconnect mask."
        )
    mask = own if asked.mask is None else asked.mask
    if mask is None:
        return None
    mask = mask.reshape(-1, *mask.shape[-2:])
    if len(mask) not in (1, len(clean)):
        raise ValueError(
            f"{WHO}: {len(mask)} masks for {len(clean)} latents, but one, or one for each, is needed. "
            "Repeat or pick them."
        )
    scale = model.model.latent_format.spacial_downscale_ratio
    patch = FLUX_PATCH if fill.input_channels(model) else 1
    small = masks.pooled(mask, clean.shape[-2:], scale, patch, asked.mask_pooling, asked.dilation)
    return small.reshape(len(small), *[1] * (clean.ndim - 3), *small.shape[-2:])
