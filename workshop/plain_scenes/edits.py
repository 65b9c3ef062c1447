"""The six families of edits: what each does to a scene, and how people ask for it."""

from dataclasses import dataclass, replace

import numpy as np

from .colours import BACKGROUND_COLOURS, PATTERN_COLOURS, SHAPE_COLOURS, apart, look
from .draw import (
    CANONICAL_RADIUS,
    CELLS,
    CORNERS,
    SHAPES,
    Background,
    Scene,
    Shape,
    caption,
    contrast_is_enough,
    render,
)
from .held_out import holds
from .wordings import STYLES

TASKS = ("recolour", "remove", "add", "swap", "background", "style")


MIDDLE, FREE = 0.14, 0.20  # shares of scenes with one thing in the middle, and with things anywhere
MIN_APART = 0.25  # largest channel difference between two shapes of one scene


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


def _pick(rng: np.random.Generator, options):
    options = list(options)
    if not options:
        raise Rejected
    return options[int(rng.integers(len(options)))]


def draw_background(rng: np.random.Generator, pattern: str | None = None, canonical: bool = False) -> Background:
    """A plain, gradient or striped background; `canonical` fixes what words do not say."""
    pattern = pattern or _pick(rng, ("plain", "plain", "gradient", "stripes"))
    bright = pattern == "plain" and rng.random() < 0.35
    first = _pick(rng, BACKGROUND_COLOURS if bright else PATTERN_COLOURS)
    second = _pick(rng, _without(PATTERN_COLOURS, first)) if pattern != "plain" else first
    if canonical:
        return Background(pattern, first, second)
    axis = _pick(rng, ("x", "y", "xy") if pattern == "gradient" else ("x", "y"))
    rgb = look(first, rng), look(second, rng)
    return Background(pattern, first, second, axis, float(rng.uniform(0.18, 0.26)), float(rng.uniform(0, 0.5)), rgb)


def _without(names, *taken: str) -> list[str]:
    return [name for name in names if name not in taken]


def free_colours(scene: Scene) -> list[str]:
    """Colours that an edit can bring into the scene: new there, and clear against everything else."""
    used = {shape.colour for shape in scene.shapes}
    return [c for c, rgb in SHAPE_COLOURS.items() if c not in used and contrast_is_enough(rgb, scene.background)]


def draw_scene(rng: np.random.Generator) -> Scene:
    """One to three shapes of different colours: in the corners, one in the middle, or anywhere."""
    scene, sort = Scene((), draw_background(rng)), rng.random()
    count = 1 if sort < MIDDLE else int(rng.choice((1, 2, 3), p=(0.15, 0.5, 0.35)))
    cells = [str(cell) for cell in rng.permutation(list(CORNERS))]
    for cell in cells[:count]:
        if sort < MIDDLE:
            place = _place(rng, "middle", 0.05, (0.18, 0.36))
        elif sort < MIDDLE + FREE:
            place = ("", float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.13, 0.21)))
        else:
            place = _place(rng, cell, 0.04, (0.14, 0.195))
        scene = scene.with_shape(_draw_shape(rng, scene, *place))
    return scene


def _place(rng, cell: str, jitter: float, radius: tuple[float, float]) -> tuple[str, float, float, float]:
    x, y = CELLS[cell]
    return cell, x + float(rng.uniform(-jitter, jitter)), y + float(rng.uniform(-jitter, jitter)), rng.uniform(*radius)


def _draw_shape(rng, scene: Scene, cell: str, x: float, y: float, radius: float) -> Shape:
    colour = _pick(rng, _without(SHAPE_COLOURS, *(s.colour for s in scene.shapes)))
    shape = Shape(_pick(rng, SHAPES), colour, cell, x, y, float(radius), look(colour, rng))
    if rng.random() < 0.3:
        shape = replace(shape, tilt=float(rng.uniform(-0.2, 0.2)), stretch=float(rng.uniform(0.88, 1.12)))
    clear = all(shape.is_clear_of(s) and apart(shape.paint, s.paint) >= MIN_APART for s in scene.shapes)
    if not clear or not contrast_is_enough(shape.paint, scene.background):
        raise Rejected
    return shape


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
    new = replace(old, colour=_pick(rng, free_colours(scene)), rgb=None)
    return Edit("recolour", "colour", scene, scene.swapped(old, new), old, new)


def _remove(rng, scene):
    old = _pick(rng, scene.shapes)
    return Edit("remove", "remove", scene, scene.without(old), old)


def _add(rng, scene):
    if rng.random() < 0.06:
        scene = Scene((), scene.background)
    kind, colour = _pick(rng, SHAPES), _pick(rng, free_colours(scene))
    shapes = [Shape(kind, colour, cell, *at, CANONICAL_RADIUS) for cell, at in CELLS.items()]
    new = _pick(rng, [s for s in shapes if all(s.is_clear_of(other) for other in scene.shapes)])
    return Edit("add", "add", scene, scene.with_shape(new), None, new)


def _swap(rng, scene):
    old = _pick(rng, scene.shapes)
    new, kind = replace(old, kind=_pick(rng, _without(SHAPES, old.kind)), tilt=0.0, stretch=1.0), "shape"
    if rng.random() < 0.5:
        new, kind = replace(new, colour=_pick(rng, free_colours(scene)), rgb=None), "shape and colour"
    return Edit("swap", kind, scene, scene.swapped(old, new), old, new)


def _background(rng, scene):
    background = draw_background(rng, canonical=True)
    if background.first == scene.background.first or not all(
        contrast_is_enough(shape.paint, background) for shape in scene.shapes
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
