"""Sampling in two parts with the host's own samplers: many candidates a little way, the chosen one to the end."""

from collections.abc import Callable
from typing import Any, NamedTuple

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch
from PIL import Image
from torch import Tensor

from ...icedit_core.candidates import SEAMLESS, SEEDLESS, check_steps, seeds, steps_taken

PREVIEW_SIDE = 512  # px of the whole preview grid
SAMPLERS = comfy.samplers.KSampler.SAMPLERS
SCHEDULERS = comfy.samplers.KSampler.SCHEDULERS


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


class Candidates(NamedTuple):
    """Candidates stopped after `early` steps. A tuple of plain values, so that the host's cache counts its tensors.

    states: per candidate the sampler's own latent, (B, ...); previews: per candidate the estimate of the finished
    latent, (B, ...), in the VAE's scale; seeds: one each.
    """

    recipe: Recipe
    early: int
    seeds: tuple[int, ...]
    states: tuple[Tensor, ...]
    previews: tuple[Tensor, ...]


def begin(recipe: Recipe, seed: int, count: int, early: int, batch: int = 1) -> Candidates:
    """Run the first `early` of the recipe's steps for `count` seeds.

    Args:
        batch: candidates in one model call. 1 gives each candidate the bits it has alone; more is faster and differs
            by rounding. Latents of several images, and samplers that use the seed themselves, are not grouped.
    Raises:
        ValueError: steps or counts that cannot be.
    """
    check_steps(recipe.steps, early, count)
    image = _image(recipe)
    group = batch if len(image) == 1 and recipe.sampler in SEEDLESS else 1
    all_seeds = seeds(seed, count)
    show = _Grid(recipe.model, count, early)
    states: list[Tensor] = []
    previews: list[Tensor] = []
    for start in range(0, count, group):
        chosen = all_seeds[start : start + group]
        noise = torch.cat([_noise(recipe, image, one) for one in chosen])
        part = _Stop(early)
        images = image.repeat(len(chosen), *[1] * (image.ndim - 1))
        _run(recipe, noise, images, part, chosen[0], show.at(start, len(image)))
        states += part.state.cpu().split(len(image))
        previews += recipe.model.model.process_latent_out(show.last).cpu().float().split(len(image))
    return Candidates(recipe, early, all_seeds, tuple(states), tuple(previews))


def finish(candidates: Candidates, choice: tuple[int, ...], restart: bool = False) -> tuple[dict[str, Any], str]:
    """Sample the chosen candidate of each image to the end.

    Args:
        choice: per image of the latent the index of its candidate.
        restart: run all steps again, as published; otherwise go on where the candidate stopped, if its sampler can.
    Returns:
        The LATENT that a KSampler gives for that seed, and a report.
    Raises:
        ValueError: an index out of range, or not one per image.
    """
    recipe, image = candidates.recipe, _image(candidates.recipe)
    _check_choice(choice, len(image), len(candidates.seeds))
    anew = restart or recipe.sampler not in SEAMLESS
    # One run can hold several winners only if the seed is nothing but its noise.
    together = recipe.sampler in SEEDLESS or len(set(choice)) == 1
    rounds = [choice] if together else [(index,) * len(choice) for index in sorted(set(choice))]
    callback = latent_preview.prepare_callback(recipe.model, recipe.steps)
    done = {}
    for indices in rounds:
        noises = [_noise(recipe, image, candidates.seeds[index])[row] for row, index in enumerate(indices)]
        state = torch.stack([candidates.states[index][row] for row, index in enumerate(indices)])
        part = _Whole() if anew else _Resume(candidates.early, state)
        result = _run(recipe, torch.stack(noises), image, part, candidates.seeds[indices[0]], callback)
        done |= {row: result[row] for row, index in enumerate(indices) if choice[row] == index}
    samples = torch.stack([done[row] for row in range(len(choice))])
    out = {key: value for key, value in recipe.latent.items() if not key.startswith("downscale_ratio")}
    return out | {"samples": samples}, _report(candidates, choice, restart, anew)


def _report(candidates: Candidates, choice: tuple[int, ...], restart: bool, anew: bool) -> str:
    steps, early, count = candidates.recipe.steps, candidates.early, len(candidates.seeds)
    picked = ", ".join(f"candidate {index} (seed {candidates.seeds[index]})" for index in choice)
    text = f"Finished {picked}: {steps_taken(steps, early, count, anew)} sampler steps in all"
    if anew and not restart:
        text += f"; {candidates.recipe.sampler} cannot go on from the middle, so it was started again"
    return text + "."


def _check_choice(choice: tuple[int, ...], images: int, count: int) -> None:
    if len(choice) != images or not all(0 <= index < count for index in choice):
        raise ValueError(
            f"ICEdit Finish: choice {list(choice)}, but one index from 0 to {count - 1} for each of {images} images "
            "is needed. Choose one of the candidates."
        )


def _image(recipe: Recipe) -> Tensor:
    latent = recipe.latent
    return comfy.sample.fix_empty_latent_channels(
        recipe.model,
        latent["samples"],
        latent.get("downscale_ratio_spacial"),
        latent.get("downscale_ratio_temporal"),
    )


def _noise(recipe: Recipe, image: Tensor, seed: int) -> Tensor:
    return comfy.sample.prepare_noise(image, seed, recipe.latent.get("batch_index"))


class _Whole:
    """All steps, as the host's sampler takes them."""

    def __call__(self, sample: Callable, model, x: Tensor, sigmas: Tensor, callback: Callable, **options) -> Tensor:
        return sample(model, x, sigmas, callback=callback, **options)


class _Stop:
    """The first steps only; keeps the sampler's own latent, which no scaling has touched."""

    def __init__(self, early: int):
        self.early = early
        self.state: Tensor

    def __call__(self, sample: Callable, model, x: Tensor, sigmas: Tensor, callback: Callable, **options) -> Tensor:
        self.state = sample(model, x, sigmas[: self.early + 1].clone(), callback=callback, **options)
        return self.state


class _Resume:
    """The remaining steps from a kept latent; noise, image and mask are given as they were at the start."""

    def __init__(self, early: int, state: Tensor):
        self.early, self.state = early, state

    def __call__(self, sample: Callable, model, x: Tensor, sigmas: Tensor, callback: Callable, **options) -> Tensor:
        def shifted(info):
            callback({**info, "i": info["i"] + self.early})

        return sample(model, self.state.to(x), sigmas[self.early :].clone(), callback=shifted, **options)


def _run(recipe: Recipe, noise: Tensor, image: Tensor, part: Callable, seed: int, callback: Callable) -> Tensor:
    """One sampling through the host, with `part` deciding which of the steps are taken."""
    plan = comfy.samplers.KSampler(
        recipe.model,
        recipe.steps,
        recipe.model.load_device,
        recipe.sampler,
        recipe.scheduler,
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


class _Grid:
    """Progress over all candidates, with a picture of all of them so far where previews are on."""

    def __init__(self, model, count: int, early: int):
        self.previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)
        self.bar = comfy.utils.ProgressBar(count * early)
        self.count, self.early = count, early
        self.pictures: dict[int, Image.Image] = {}
        self.last: Tensor

    def at(self, start: int, size: int) -> Callable:
        """The callback of a run that begins with candidate `start`; each candidate is `size` images."""

        def callback(step: int, x0: Tensor, x: Tensor, total: int) -> None:
            self.last = x0
            if self.previewer:
                for row in range(0, len(x0), size):
                    self.pictures[start + row // size] = self.previewer.decode_latent_to_preview(x0[row : row + 1])
            done = start * self.early + (step + 1) * (len(x0) // size)
            preview = ("JPEG", self._picture(), PREVIEW_SIDE) if self.pictures else None
            self.bar.update_absolute(done, self.count * self.early, preview)

        return callback

    def _picture(self) -> Image.Image:
        first = next(iter(self.pictures.values()))
        columns = max(1, round((self.count * first.height / first.width) ** 0.5))
        rows = -(-self.count // columns)
        grid = Image.new("RGB", (columns * first.width, rows * first.height))
        for index, picture in self.pictures.items():
            grid.paste(picture, (index % columns * first.width, index // columns * first.height))
        return grid
