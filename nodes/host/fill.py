"""Whether a model can fill a diptych: FLUX.1 Fill can, and what is not FLUX.1 Fill is named before anything is sampled.

Only FLUX.1 Fill reads the diptych and its mask beside the noise. Any other model samples all the same, and its result
looks like a bad seed.
"""

from typing import Any

import comfy.model_base
from torch import Tensor

from .previews import is_diptych

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
    channels = _input_channels(model)
    if channels is not None and channels > 2 * LATENT_CHANNELS:  # what the host, too, takes for an inpainting FLUX.1
        return
    width = f" (input layer of {channels * PATCH}, Fill's has {FILL_CHANNELS * PATCH})" if channels else ""
    raise ValueError(
        f"{who}: the model is {_name(model, channels)}{width}, but FLUX.1 Fill is needed: only that sees the source "
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
    pictures = [values["concat_latent_image"] for values in conditions if "concat_latent_image" in values]
    if not pictures or not is_diptych(conditions, None):
        return
    require(model, who)
    for samples in (*pictures, latent["samples"]):
        _check_latent(samples, who)


def _check_latent(samples: Tensor, who: str) -> None:
    if samples.ndim == 4 and samples.shape[1] == LATENT_CHANNELS:
        return
    raise ValueError(
        f"{who}: the latent is of shape {tuple(samples.shape)}, but FLUX.1's has {LATENT_CHANNELS} channels (B, "
        f"{LATENT_CHANNELS}, H/8, W/8): another model's VAE made it. Load FLUX.1's VAE, ae.safetensors, and connect "
        "it to InpaintModelConditioning and VAE Decode."
    )


def _input_channels(model: Any) -> int | None:
    """Channels that a FLUX.1 takes, None for another kind of model."""
    base = model.model
    if not isinstance(base, comfy.model_base.Flux) or base.latent_format.latent_channels != LATENT_CHANNELS:
        return None
    for patch in reversed(model.patches.get(_INPUT, ())):
        # A LoRA may widen the input layer, as FLUX's tools in LoRA form do.
        shape = patch[1].calculate_shape(_INPUT) if hasattr(patch[1], "calculate_shape") else None
        if shape:
            return shape[1] // PATCH
    return int(base.model_config.unet_config["in_channels"])


def _name(model: Any, channels: int | None) -> str:
    kind = type(model.model.model_config).__name__
    if kind == "Flux" and channels == 2 * LATENT_CHANNELS:
        return "FLUX.1 Canny or Depth"
    return _NAMES.get(kind, kind)
