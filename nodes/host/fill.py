"""Whether a model can fill a diptych: FLUX.1 Fill can, and what is not FLUX.1 Fill is named before anything is sampled.

Only FLUX.1 Fill reads the diptych and its mask beside the noise. Any other model samples all the same, and its result
looks like a bad seed.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import comfy.model_base
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from .previews import is_diptych

KEY = "icedit_fill"
LATENT_CHANNELS = 16
FILL_CHANNELS = 96  # of its input: 16 of noise, 16 of the masked picture, 64 of the mask
PATCH = 4  # latent pixels in a token
_INPUT = "diffusion_model.img_in.weight"
_NAMES = {
    "Flux": "FLUX.1 dev or Kontext",
    "FluxSchnell": "FLUX.1 schnell",
    "Flux2": "FLUX.2",
    "SD15": "Stable Diffusion 1.5",
    "SD20": "Stable Diffusion 2",
    "SD3": "Stable Diffusion 3",
    "SDXL": "SDXL",
    "QwenImage": "Qwen-Image",
}


def require(model: Any, who: str) -> None:
    """Refuse a model that is not FLUX.1 Fill.

    Args:
        model: the host's MODEL.
        who: the node that speaks.
    Raises:
        ValueError: another model; its name, and which to load.
    """
    channels = input_channels(model)
    if _fills(channels):
        return
    width = f" (input layer of {channels * PATCH}, Fill's has {FILL_CHANNELS * PATCH})" if channels else ""
    raise ValueError(
        f"{who}: the model is {name_of(model)}{width}, but FLUX.1 Fill is needed: only that sees the source "
        "beside the panel it paints. Load flux1-fill-dev with ComfyUI's 'Load Diffusion Model'. For other models use "
        "ComfyUI's own LoRA loaders and samplers, without ICEdit Diptych."
    )


def check(model: Any, positive: Any, latent: dict[str, Any], who: str) -> None:
    """Refuse a sampling of a diptych by a model, or with a VAE, that cannot do it; any other sampling passes.

    Args:
        positive: the host's CONDITIONING; InpaintModelConditioning puts the diptych and its mask into it.
        latent: the host's LATENT.
        who: the node that speaks.
    Raises:
        ValueError: another model than FLUX.1 Fill, or a latent that its VAE does not make.
    """
    conditions = [values for _, values in positive]
    if pictures := _diptychs(conditions):
        require(model, who)
        _check_latents((*pictures, latent["samples"]), who)


def watched(model: ModelPatcher, who: str) -> ModelPatcher:
    """Let `model`, which must be the caller's own clone, look at the VAE's latents before any sampler runs."""

    def sampling(executor, noise, latent_image, *rest, **more):
        conditions = executor.class_obj.conds.get("positive", ())
        if pictures := _diptychs(conditions):
            _check_latents((*pictures, latent_image), who)
        return executor(noise, latent_image, *rest, **more)

    model.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, KEY)  # a clone of ours has it already
    model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, sampling)
    return model


def _diptychs(conditions: Iterable[Mapping[str, Any]]) -> list[Tensor]:
    """The encoded diptychs in the conditioning; none unless all that is repainted lies in the right half."""
    found = [values["concat_latent_image"] for values in conditions if values.get("concat_latent_image") is not None]
    return found if found and is_diptych(conditions, None) else []


def _check_latents(latents: Iterable[Tensor], who: str) -> None:
    for samples in latents:
        if samples.ndim != 4 or samples.shape[1] != LATENT_CHANNELS:
            raise ValueError(
                f"{who}: the latent is of shape {tuple(samples.shape)}, but FLUX.1's is (B, {LATENT_CHANNELS}, H/8, "
                "W/8): another model's VAE made it. Load FLUX.1's VAE, ae.safetensors, and connect it to "
                "InpaintModelConditioning and VAE Decode."
            )


def input_channels(model: Any) -> int | None:
    """Latent channels that a FLUX.1 takes, None for another kind of model."""
    base = model.model
    if not isinstance(base, comfy.model_base.Flux) or base.latent_format.latent_channels != LATENT_CHANNELS:
        return None
    for patch in reversed(model.patches.get(_INPUT, ())):
        # A LoRA may widen the input layer, as FLUX's tools in LoRA form do.
        shape = patch[1].calculate_shape(_INPUT) if hasattr(patch[1], "calculate_shape") else None
        if shape:
            return shape[1] // PATCH
    return int(base.model_config.unet_config["in_channels"])


def name_of(model: Any) -> str:
    """What people call the model."""
    kind, channels = type(model.model.model_config).__name__, input_channels(model)
    if _fills(channels):
        return "FLUX.1 Fill"
    if kind == "Flux" and channels == 2 * LATENT_CHANNELS:
        return "FLUX.1 Canny or Depth"
    return _NAMES.get(kind, kind)


def _fills(channels: int | None) -> bool:
    """What the host, too, takes for an inpainting FLUX.1."""
    return channels is not None and channels > 2 * LATENT_CHANNELS
