"""Sampling in two parts with the host's own samplers: many candidates a little way, the chosen one to the end."""

from collections.abc import Callable
from typing import Any, NamedTuple

import comfy.model_management
import comfy.utils
import latent_preview
import torch
from PIL import Image
from torch import Tensor

from ...icedit_core.candidates import SEAMLESS, SEEDLESS, check_steps, seeds
from ...icedit_core.panels import right
from . import fill
from .previews import panel_callback
from .run import Recipe, fills_panel, image_of, noise_of, run

PREVIEW_SIDE = 512  # px of the whole preview grid


class Candidates(NamedTuple):
    """Candidates stopped after `early` steps. A tuple of plain values, so that the host's cache counts its tensors.

    states: per candidate the sampler's own latent, (B, ...); previews: per candidate the estimate of the finished
    latent, (B, ...), in the VAE's scale; seeds: one each; spent: sampler steps taken for all of this so far.
    """

    recipe: Recipe
    early: int
    seeds: tuple[int, ...]
    states: tuple[Tensor, ...]
    previews: tuple[Tensor, ...]
    spent: int


def begin(recipe: Recipe, seed: int, count: int, early: int, batch: int = 1) -> Candidates:
    """Run the first `early` of the recipe's steps for `count` seeds.

    Args:
        batch: candidates in one model call. 1 gives each candidate the bits it has alone; more is faster and differs
            by rounding. Latents of several images, and samplers that use the seed themselves, are not grouped.
    Raises:
        ValueError: steps or counts that cannot be, or a diptych for a model that cannot fill it.
    """
    check_steps(recipe.steps, early, count)
    fill.check(recipe.model, recipe.positive, recipe.latent, "ICEdit Candidates")
    image = image_of(recipe)
    group = batch if len(image) == 1 and recipe.sampler in SEEDLESS else 1
    all_seeds = seeds(seed, count)
    show = _Grid(recipe, count, early)
    states: list[Tensor] = []
    previews: list[Tensor] = []
    for start in range(0, count, group):
        chosen = all_seeds[start : start + group]
        noise = torch.cat([noise_of(recipe, image, one) for one in chosen])
        part = _Steps(stop=early)
        images = image.repeat(len(chosen), *[1] * (image.ndim - 1))
        run(recipe, noise, images, part, chosen[0], show.at(start, len(image)))
        states += part.state.cpu().split(len(image))
        previews += recipe.model.model.process_latent_out(show.last).cpu().float().split(len(image))
    return Candidates(recipe, early, all_seeds, tuple(states), tuple(previews), count * early)


def advance(candidates: Candidates, kept: tuple[int, ...], early: int) -> Candidates:
    """Take some candidates further; the others are dropped.

    Args:
        kept: their indices; the first becomes candidate 0.
        early: how many of the recipe's steps they have taken then.
    Raises:
        ValueError: several images, an index out of range, or steps that lie behind or beyond.
    """
    recipe, image = candidates.recipe, image_of(candidates.recipe)
    if len(image) != 1:
        raise ValueError(
            f"ICEdit Keep Best: the latent holds {len(image)} images, each with an order of its own, but one is "
            "needed. Edit one picture at a time."
        )
    for index in kept:
        _check_choice((index,), 1, len(candidates.seeds))
    if not candidates.early < early < recipe.steps:
        raise ValueError(
            f"ICEdit Keep Best: {early} early steps, but the candidates have taken {candidates.early} of "
            f"{recipe.steps}, so {candidates.early + 1} to {recipe.steps - 1} are needed."
        )
    start = candidates.early if recipe.sampler in SEAMLESS else 0
    show = _Grid(recipe, len(kept), early - start, start)
    states, previews = [], []
    for place, index in enumerate(kept):
        seed = candidates.seeds[index]
        part = _Steps(start, early, candidates.states[index] if start else None)
        run(recipe, noise_of(recipe, image, seed), image, part, seed, show.at(place, 1))
        states.append(part.state.cpu())
        previews.append(recipe.model.model.process_latent_out(show.last).cpu().float())
    taken = tuple(candidates.seeds[index] for index in kept)
    spent = candidates.spent + len(kept) * (early - start)
    return Candidates(recipe, early, taken, tuple(states), tuple(previews), spent)


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
    recipe, image = candidates.recipe, image_of(candidates.recipe)
    _check_choice(choice, len(image), len(candidates.seeds))
    anew = restart or recipe.sampler not in SEAMLESS
    # One run can hold several winners only if the seed is nothing but its noise.
    together = recipe.sampler in SEEDLESS or len(set(choice)) == 1
    rounds = [choice] if together else [(index,) * len(choice) for index in sorted(set(choice))]
    prepare = panel_callback if fills_panel(recipe) else latent_preview.prepare_callback
    callback = prepare(recipe.model, recipe.steps)
    done = {}
    for indices in rounds:
        noises = [noise_of(recipe, image, candidates.seeds[index])[row] for row, index in enumerate(indices)]
        state = torch.stack([candidates.states[index][row] for row, index in enumerate(indices)])
        part = _Steps() if anew else _Steps(candidates.early, state=state)
        result = run(recipe, torch.stack(noises), image, part, candidates.seeds[indices[0]], callback)
        done |= {row: result[row] for row, index in enumerate(indices) if choice[row] == index}
    samples = torch.stack([done[row] for row in range(len(choice))])
    out = {key: value for key, value in recipe.latent.items() if not key.startswith("downscale_ratio")}
    return out | {"samples": samples}, _report(candidates, choice, restart, anew)


def _report(candidates: Candidates, choice: tuple[int, ...], restart: bool, anew: bool) -> str:
    steps = candidates.spent + candidates.recipe.steps - (0 if anew else candidates.early)
    picked = ", ".join(f"candidate {index} (seed {candidates.seeds[index]})" for index in choice)
    text = f"Finished {picked}: {steps} sampler steps in all"
    if anew and not restart:
        text += f"; {candidates.recipe.sampler} cannot go on from the middle, so it was started again"
    return text + "."


def _check_choice(choice: tuple[int, ...], images: int, count: int) -> None:
    if len(choice) != images or not all(0 <= index < count for index in choice):
        raise ValueError(
            f"ICEdit Finish: choice {list(choice)}, but one index from 0 to {count - 1} for each of {images} images "
            "is needed. Choose one of the candidates."
        )


class _Steps:
    """A stretch of the sampler's steps, from a latent of its own that no scaling has touched.

    The host gives noise, image and mask as they were at the start, whatever the stretch.

    Args:
        start, stop: the first step, and the one after the last; None for all.
        state: the sampler's latent before `start`; None for the noise that the host has made.
    After the run `state` is the latent that was reached.
    """

    def __init__(self, start: int = 0, stop: int | None = None, state: Tensor | None = None):
        self.start, self.stop, self.state = start, stop, state

    def __call__(self, sample: Callable, model, x: Tensor, sigmas: Tensor, callback: Callable, **options) -> Tensor:
        def shifted(info):
            callback({**info, "i": info["i"] + self.start})

        # All steps get the host's own tensor: uni_pc writes into it, and the host reads that afterwards.
        whole = self.start == 0 and self.stop is None
        chosen = sigmas if whole else sigmas[self.start : None if self.stop is None else self.stop + 1].clone()
        begin = x if self.state is None else self.state.to(x)
        self.state = sample(model, begin, chosen, callback=shifted, **options)
        return self.state


class _Grid:
    """Progress over all candidates, with a picture of all of them so far where previews are on."""

    def __init__(self, recipe: Recipe, count: int, early: int, first: int = 0):
        self.previewer = latent_preview.get_previewer(recipe.model.load_device, recipe.model.model.latent_format)
        self.part = right if fills_panel(recipe) else lambda latent: latent
        self.bar = comfy.utils.ProgressBar(count * early)
        self.count, self.early, self.first = count, early, first
        self.pictures: dict[int, Image.Image] = {}
        self.last: Tensor

    def at(self, start: int, size: int) -> Callable:
        """The callback of a run that begins with candidate `start`; each candidate is `size` images."""

        def callback(step: int, x0: Tensor, x: Tensor, total: int) -> None:
            self.last = x0
            if self.previewer:
                for row in range(0, len(x0), size):
                    shown = self.part(x0[row : row + 1])
                    self.pictures[start + row // size] = self.previewer.decode_latent_to_preview(shown)
            done = start * self.early + (step + 1 - self.first) * (len(x0) // size)
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
