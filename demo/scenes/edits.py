"""The six families of edits: what each does to a scene, and how people ask for it."""

from dataclasses import dataclass, replace

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
from .held_out import holds
from .wordings import HELD_OUT_STYLES, HELD_OUT_WORDS, STYLES, WORDS

TASKS = ("recolour", "remove", "add", "swap", "background", "style")


class Rejected(Exception):
    """This draw gives no clear edit; the caller draws again."""


@dataclass(frozen=True)
class Edit:
    """What is done to a scene, free of pixels and of wording.

    `old` and `new` are the shapes before and after, as far as the edit is about one; `style` changes the whole picture;
    `kind` is the sort of edit inside its family.
    """

    task: str
    kind: str
    before: Scene
    after: Scene
    old: Shape | None = None
    new: Shape | None = None
    style: str | None = None

    @property
    def is_held_out(self) -> bool:
        """Is its combination of colour, shape and task kept out of training?"""
        shapes = list(self.before.shapes) if self.style else [s for s in (self.old, self.new) if s]
        return holds(self.task, shapes, self.after.background)

    def source(self, size: int) -> np.ndarray:
        """(size, size, 3) float32 RGB in [0, 1]."""
        return render(self.before, size)

    def target(self, size: int) -> np.ndarray:
        """Like `source`, edited."""
        image = render(self.after, size)
        return apply_style(image, self.style) if self.style else image

    def caption(self) -> str:
        """The target in words."""
        return caption(self.after) + (f", {self.style}" if self.style else "")

    def words(self) -> dict[str, str]:
        """What fills the gaps of a wording."""
        if self.task == "background":
            return {"new": background_words(self.after.background)}
        words = {"old": self.old.name} if self.old else {}
        if self.new:
            words |= {"cell": self.new.cell, "new": article(self.new.name)}
            if self.task == "recolour":
                words["new"] = self.new.colour
            elif self.kind == "shape":
                words["new"] = article(self.new.kind)
        return words

    def instruction(self, rng: np.random.Generator, held_out: bool = False) -> str:
        """Ask for it in one of the wordings of training, or in one that training never saw."""
        words, styles = (HELD_OUT_WORDS, HELD_OUT_STYLES) if held_out else (WORDS, STYLES)
        text = _pick(rng, styles[self.style] if self.style else words[self.task]).format(**self.words())
        return text[0].upper() + text[1:] if rng.random() < 0.15 else text


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


def background_words(background: Background) -> str:
    """A new background as an instruction names it, e.g. 'a white to tan gradient'."""
    if background.pattern == "gradient":
        return article(background.name)
    return background.name.replace("striped", "stripes")


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
    new = replace(old, colour=_pick(rng, free_colours(scene)))
    return Edit("recolour", "colour", scene, scene.swapped(old, new), old, new)


def _remove(rng, scene):
    old = _pick(rng, scene.shapes)
    return Edit("remove", "remove", scene, scene.without(old), old)


def _add(rng, scene):
    cell = _pick(rng, _without(CELLS, *(shape.cell for shape in scene.shapes)))
    new = Shape(_pick(rng, SHAPES), _pick(rng, free_colours(scene)), cell, *CELLS[cell], CANONICAL_RADIUS)
    return Edit("add", "add", scene, scene.with_shape(new), None, new)


def _swap(rng, scene):
    old = _pick(rng, scene.shapes)
    new, kind = replace(old, kind=_pick(rng, _without(SHAPES, old.kind))), "shape"
    if rng.random() < 0.5:
        new, kind = replace(new, colour=_pick(rng, free_colours(scene))), "shape and colour"
    return Edit("swap", kind, scene, scene.swapped(old, new), old, new)


def _background(rng, scene):
    background = draw_background(rng, canonical=True)
    if background.first == scene.background.first or not all(
        contrast_is_enough(shape.colour, background) for shape in scene.shapes
    ):
        raise Rejected
    return Edit("background", background.pattern, scene, replace(scene, background=background))


def _style(rng, scene):
    style = _pick(rng, STYLES)
    return Edit("style", style, scene, scene, style=style)


_EDITS = {
    "recolour": _recolour,
    "remove": _remove,
    "add": _add,
    "swap": _swap,
    "background": _background,
    "style": _style,
}


def draw_edit(rng: np.random.Generator, scene: Scene, task: str) -> Edit:
    """One edit of a scene.

    Raises:
        Rejected: the draw gives no edit that words can name clearly.
    """
    return _EDITS[task](rng, scene)
