"""The six families of edits: what each does to a scene, and how people ask for it."""

from dataclasses import replace

import numpy as np

from .draw import (
    BACKGROUND_COLOURS,
    CANONICAL_RADIUS,
    CELLS,
    SHAPE_COLOURS,
    SHAPES,
    Background,
    Scene,
    Shape,
    article,
    caption,
    contrast_is_enough,
    render,
)

TASKS = ("recolour", "remove", "add", "swap", "background", "style")

WORDS = {
    "recolour": (
        "make the {old} {new}",
        "change the {old} to {new}",
        "turn the {old} {new}",
        "paint the {old} {new}",
        "recolor the {old} to {new}",
        "change the color of the {old} to {new}",
    ),
    "remove": (
        "remove the {old}",
        "delete the {old}",
        "erase the {old}",
        "take away the {old}",
        "get rid of the {old}",
    ),
    "add": (
        "add {new} in the {cell}",
        "put {new} in the {cell}",
        "draw {new} in the {cell}",
        "place {new} in the {cell} corner",
        "add {new} to the {cell}",
    ),
    "swap": (
        "replace the {old} with {new}",
        "swap the {old} for {new}",
        "turn the {old} into {new}",
        "change the {old} into {new}",
    ),
    "background": (
        "make the background {new}",
        "change the background to {new}",
        "turn the background {new}",
        "set the background to {new}",
        "replace the background with {new}",
    ),
}
STYLES = {
    "grayscale": ("make it black and white", "convert the image to grayscale", "turn the whole picture into grayscale"),
    "negative": ("invert the colors", "invert the whole image", "turn the picture into a negative"),
    "sepia": ("make it sepia", "give the image a sepia tone", "turn the picture into an old sepia photo"),
    "darker": ("make it darker", "darken the whole image", "make the picture much darker"),
    "brighter": ("make it brighter", "brighten the whole image", "make the picture much brighter"),
}


class Rejected(Exception):
    """This draw gives no clear edit; the caller draws again."""


def _pick(rng: np.random.Generator, options):
    options = list(options)
    if not options:
        raise Rejected
    return options[int(rng.integers(len(options)))]


def draw_background(rng: np.random.Generator, pattern: str | None = None, canonical: bool = False) -> Background:
    """A plain, gradient or striped background; `canonical` fixes what words do not say."""
    pattern = pattern or _pick(rng, ("plain", "plain", "gradient", "stripes"))
    first = _pick(rng, BACKGROUND_COLOURS)
    second = _pick(rng, _without(BACKGROUND_COLOURS, first)) if pattern != "plain" else first
    if canonical:
        return Background(pattern, first, second)
    axis = _pick(rng, ("x", "y", "xy") if pattern == "gradient" else ("x", "y"))
    return Background(pattern, first, second, axis, float(rng.uniform(0.18, 0.26)), float(rng.uniform(0, 0.5)))


def _without(names, *taken: str) -> list[str]:
    return [name for name in names if name not in taken]


def free_colours(scene: Scene) -> list[str]:
    used = {shape.colour for shape in scene.shapes}
    return [c for c in SHAPE_COLOURS if c not in used and contrast_is_enough(c, scene.background)]


def draw_scene(rng: np.random.Generator) -> Scene:
    """One to three shapes of different colours in different cells."""
    scene = Scene((), draw_background(rng))
    count = int(rng.choice((1, 2, 3), p=(0.1, 0.5, 0.4)))
    for cell in rng.permutation(list(CELLS))[:count]:
        x, y = CELLS[str(cell)]
        x, y = x + float(rng.uniform(-0.03, 0.03)), y + float(rng.uniform(-0.03, 0.03))
        colour = _pick(rng, free_colours(scene))
        radius = float(rng.uniform(0.16, 0.195))
        scene = scene.with_shape(Shape(_pick(rng, SHAPES), colour, str(cell), x, y, radius))
    return scene


def apply_style(image: np.ndarray, style: str) -> np.ndarray:
    """A whole-image change of a (H, W, 3) picture in [0, 1]."""
    if style == "negative":
        return 1.0 - image
    if style == "darker":
        return image * np.float32(0.4)
    if style == "brighter":
        return np.float32(0.55) + image * np.float32(0.45)
    grey = (image @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    if style == "grayscale":
        return np.repeat(grey, 3, axis=-1)
    return np.clip(grey * np.array([1.05, 0.82, 0.50], np.float32) + np.array([0.06, 0.02, 0.0], np.float32), 0, 1)


def _recolour(rng, scene):
    old = _pick(rng, scene.shapes)
    colour = _pick(rng, free_colours(scene))
    return scene.swapped(old, replace(old, colour=colour)), {"old": old.name, "new": colour}, "colour"


def _remove(rng, scene):
    old = _pick(rng, scene.shapes)
    return scene.without(old), {"old": old.name}, "remove"


def _add(rng, scene):
    cell = _pick(rng, _without(CELLS, *(shape.cell for shape in scene.shapes)))
    new = Shape(_pick(rng, SHAPES), _pick(rng, free_colours(scene)), cell, *CELLS[cell], CANONICAL_RADIUS)
    return scene.with_shape(new), {"new": article(new.name), "cell": cell}, "add"


def _swap(rng, scene):
    old = _pick(rng, scene.shapes)
    kind = _pick(rng, _without(SHAPES, old.kind))
    if rng.random() < 0.5:
        return scene.swapped(old, replace(old, kind=kind)), {"old": old.name, "new": article(kind)}, "shape"
    new = replace(old, kind=kind, colour=_pick(rng, free_colours(scene)))
    return scene.swapped(old, new), {"old": old.name, "new": article(new.name)}, "shape and colour"


def _background(rng, scene):
    background = draw_background(rng, _pick(rng, ("plain", "plain", "gradient", "stripes")), canonical=True)
    if background.first == scene.background.first or not all(
        contrast_is_enough(shape.colour, background) for shape in scene.shapes
    ):
        raise Rejected
    words = background.name
    if background.pattern == "gradient":
        words = article(words)
    elif background.pattern == "stripes":
        words = words.replace("striped", "stripes")
    return replace(scene, background=background), {"new": words}, background.pattern


_EDITS = {"recolour": _recolour, "remove": _remove, "add": _add, "swap": _swap, "background": _background}


def draw_edit(rng: np.random.Generator, task: str, size: int):
    """One scene and one edit of it, as `apply_edit` gives it."""
    return apply_edit(rng, draw_scene(rng), task, size)


def apply_edit(rng: np.random.Generator, scene: Scene, task: str, size: int):
    """One edit of a scene.

    Returns:
        source, target: (size, size, 3) float32; instruction; caption of the target; the kind of edit inside its family.
    Raises:
        Rejected: the draw gives no clear edit.
    """
    source = render(scene, size)
    if task == "style":
        style = _pick(rng, STYLES)
        instruction, target = _pick(rng, STYLES[style]), apply_style(source, style)
        described, kind = f"{caption(scene)}, {style}", style
    else:
        edited, words, kind = _EDITS[task](rng, scene)
        instruction, target = _pick(rng, WORDS[task]).format(**words), render(edited, size)
        described = caption(edited)
    if rng.random() < 0.15:
        instruction = instruction[0].upper() + instruction[1:]
    return source, target, instruction, described, kind
