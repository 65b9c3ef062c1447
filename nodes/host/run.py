"""One sampling through the host: all it needs beside its seed, and the call in which the caller decides its steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import comfy.sample
import comfy.samplers
import comfy.utils
import torch
from comfy.patcher_extension import WrappersMP
from comfy_api.torch_helpers.torch_compile import COMPILE_KEY
from torch import Tensor

from .previews import is_diptych


class Recipe(NamedTuple):
    """All that one sampling needs beside its seed."""

    model: Any
    positive: Any
    negative: Any
    latent: dict[str, Any]
    steps: int
    cfg: float
    sampler: str
    scheduler: str
    denoise: float = 1.0


def samplers() -> list[str]:
    """KSampler's samplers at this moment: packs that load after this one may bind the list anew."""
    return comfy.samplers.KSampler.SAMPLERS


def schedulers() -> list[str]:
    """KSampler's schedulers at this moment, as `samplers`."""
    return comfy.samplers.KSampler.SCHEDULERS


def fills_panel(recipe: Recipe) -> bool:
    """Whether the sampling paints the right panel of a diptych and nothing else."""
    return is_diptych([values for _, values in recipe.positive], recipe.latent.get("noise_mask"))


def image_of(recipe: Recipe) -> Tensor:
    """The latent image (B, C, h, w), given the model's channels where it is an empty one of another kind."""
    latent = recipe.latent
    return comfy.sample.fix_empty_latent_channels(
        recipe.model,
        latent["samples"],
        latent.get("downscale_ratio_spacial"),
        latent.get("downscale_ratio_temporal"),
    )


def noise_of(recipe: Recipe, image: Tensor, seed: int) -> Tensor:
    """The noise that a KSampler with this seed begins with, of the image's shape."""
    return comfy.sample.prepare_noise(image, seed, recipe.latent.get("batch_index"))


def run(recipe: Recipe, noise: Tensor, image: Tensor, part: Callable, seed: int, callback: Callable) -> Tensor:
    """One sampling through the host, with `part` deciding which of the steps are taken.

    Args:
        noise, image: `noise_of` and `image_of`, (B, C, h, w).
        part: takes the sampler's function and then what the host gives that: model, x, sigmas, callback, options.
        seed: for samplers that draw noise themselves.
        callback: the host's, of (step, x0, x, total).
    """
    plan = comfy.samplers.KSampler(
        recipe.model,
        recipe.steps,
        recipe.model.load_device,
        recipe.sampler,
        recipe.scheduler,
        recipe.denoise,
        model_options=recipe.model.model_options,
    )
    stock = comfy.samplers.sampler_object(recipe.sampler)

    def sample(model, x, sigmas, callback=None, **options):
        return part(stock.sampler_function, model, x, sigmas, callback, **options)

    return comfy.sample.sample_custom(
        recipe.model,
        noise,
        recipe.cfg,
        comfy.samplers.KSAMPLER(sample, stock.extra_options, stock.inpaint_options),
        plan.sigmas,
        recipe.positive,
        recipe.negative,
        image,
        noise_mask=recipe.latent.get("noise_mask"),
        callback=callback,
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed,
    )


def for_one_call(model, positive, latent: dict[str, Any]) -> tuple[Recipe, Tensor, tuple[int, int]]:
    """What `ask_once` needs to watch a FLUX model, on a clone on which nothing is compiled for one call.

    Returns:
        the recipe, whose model may be given hooks; the image, `image_of`; the (rows, columns) of its tokens.
    """
    recipe = Recipe(model.clone(), positive, positive, latent, 1, 1.0, "euler", "simple")
    recipe.model.remove_wrappers_with_key(WrappersMP.APPLY_MODEL, COMPILE_KEY)
    image = image_of(recipe)
    patch = recipe.model.model.diffusion_model.patch_size
    return recipe, image, (-(-image.shape[-2] // patch), -(-image.shape[-1] // patch))


def ask_once(recipe: Recipe, noise: Tensor, image: Tensor, sigma: float, seed: int) -> None:
    """One model call as a sampler makes it at the noise level `sigma`, for whoever watches it; nothing is sampled."""

    def once(model, x, sigmas, extra_args, callback=None, disable=None):
        return model(x, sigmas[0] * x.new_ones([len(x)]), **extra_args)

    comfy.sample.sample_custom(
        recipe.model,
        noise,
        recipe.cfg,
        comfy.samplers.KSAMPLER(once),
        torch.tensor([sigma, 0.0]),
        recipe.positive,
        recipe.negative,
        image,
        noise_mask=recipe.latent.get("noise_mask"),
        disable_pbar=True,
        seed=seed,
    )
