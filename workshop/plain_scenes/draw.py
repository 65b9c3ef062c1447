"""Shapes, backgrounds and their rendering: distances to outlines, anti-aliased at any size."""

from dataclasses import dataclass, replace

import numpy as np

from .colours import BACKGROUND_COLOURS, RGB, SHAPE_COLOURS, apart

CELLS = {
    "top left": (0.25, 0.25),
    "top right": (0.75, 0.25),
    "bottom left": (0.25, 0.75),
    "bottom right": (0.75, 0.75),
    "middle": (0.5, 0.5),
}
CORNERS = tuple(CELLS)[:4]
CANONICAL_RADIUS = 0.178  # the size an added shape has, in panel widths
MIN_CONTRAST = 0.35  # largest channel difference between a shape and what lies behind it
MIN_GAP = 1.1  # distance of two shapes' centres, in sums of their radii


@dataclass(frozen=True)
class Shape:
    """One coloured shape; x, y, radius in panel widths, tilt in radians.

    `cell` is one of `CELLS`, or empty where no word names the place; `rgb` is how a drawing shows the colour, None as
    an edit paints it; `stretch` is the width over the height.
    """

    kind: str
    colour: str
    cell: str
    x: float
    y: float
    radius: float
    rgb: RGB | None = None
    tilt: float = 0.0
    stretch: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.colour} {self.kind}"

    @property
    def paint(self) -> RGB:
        return self.rgb or SHAPE_COLOURS[self.colour]

    def is_clear_of(self, other: "Shape") -> bool:
        """Is there room between the two?"""
        return bool(np.hypot(self.x - other.x, self.y - other.y) >= MIN_GAP * (self.radius + other.radius))


@dataclass(frozen=True)
class Background:
    """`pattern` is plain, gradient or stripes; `axis` x, y or xy; `width` and `phase` in panel widths."""

    pattern: str
    first: str
    second: str
    axis: str = "y"
    width: float = 0.25
    phase: float = 0.125
    rgb: tuple[RGB, RGB] | None = None  # how a drawing shows the two colours

    @property
    def paints(self) -> tuple[RGB, RGB]:
        return self.rgb or (BACKGROUND_COLOURS[self.first], BACKGROUND_COLOURS[self.second])

    @property
    def name(self) -> str:
        if self.pattern == "plain":
            return self.first
        if self.pattern == "gradient":
            return f"{self.first} to {self.second} gradient"
        return f"{self.first} and {self.second} striped"


@dataclass(frozen=True)
class Scene:
    """Well separated shapes on a background."""

    shapes: tuple[Shape, ...]
    background: Background

    def without(self, shape: Shape) -> "Scene":
        return replace(self, shapes=tuple(s for s in self.shapes if s is not shape))

    def with_shape(self, shape: Shape) -> "Scene":
        return replace(self, shapes=(*self.shapes, shape))

    def swapped(self, old: Shape, new: Shape) -> "Scene":
        return replace(self, shapes=tuple(new if s is old else s for s in self.shapes))


def article(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def caption(scene: Scene) -> str:
    """The scene in words, e.g. 'a red circle in the top left, on a white background'."""
    parts = [article(s.name) + (f" in the {s.cell}" if s.cell else "") for s in scene.shapes]
    listed = ", ".join(parts) if parts else "nothing"
    return f"{listed}, on {article(scene.background.name)} background"


def _circle(x, y):
    return np.hypot(x, y) - 1.0


def _square(x, y):
    return np.maximum(np.abs(x), np.abs(y)) - 0.92


def _triangle(x, y):
    y = y - 0.22
    return np.maximum(y, 0.8660254 * np.abs(x) - 0.5 * y) - 0.62


def _cross(x, y):
    x, y = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(x - 1.08, y - 0.36), np.maximum(x - 0.36, y - 1.08))


def _star(x, y):
    outer, inner = 1.2, 0.5
    y = -y - 0.06
    sector = np.pi / 5
    angle = np.abs(np.mod(np.arctan2(x, y) + sector, 2 * sector) - sector)
    radius = np.hypot(x, y)
    px, py = radius * np.sin(angle), radius * np.cos(angle)
    ex, ey = inner * np.sin(sector), inner * np.cos(sector) - outer
    length = np.hypot(ex, ey)
    return (py - outer) * ex / length - px * ey / length


def _heart(x, y):
    scale = 1.85
    x, y = np.abs(x) / scale, 0.56 - y / scale
    lobe = np.hypot(x - 0.25, y - 0.75) - 0.35355
    fold = 0.5 * np.maximum(x + y, 0.0)
    side = np.sqrt(np.minimum(x**2 + (y - 1.0) ** 2, (x - fold) ** 2 + (y - fold) ** 2)) * np.sign(x - y)
    return np.where(x + y > 1.0, lobe, side) * scale


SHAPES = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "heart": _heart,
}

_GRIDS: dict[int, tuple[np.ndarray, np.ndarray]] = {}


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    if size not in _GRIDS:
        centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
        _GRIDS[size] = (centres[None, :], centres[:, None])
    return _GRIDS[size]


def coverage(shape: Shape, size: int) -> np.ndarray:
    """The part of each pixel that the shape covers, (size, size) in [0, 1]."""
    x, y = _grid(size)
    cos, sin = np.cos(shape.tilt), np.sin(shape.tilt)
    x, y = (x - shape.x) / shape.radius, (y - shape.y) / shape.radius
    distance = SHAPES[shape.kind]((x * cos + y * sin) / shape.stretch, y * cos - x * sin)
    return np.clip(0.5 - distance * (shape.radius * size), 0.0, 1.0).astype(np.float32)


def paint_background(background: Background, size: int) -> np.ndarray:
    """(size, size, 3) float32 RGB in [0, 1]."""
    first, second = (np.array(rgb, np.float32) for rgb in background.paints)
    x, y = _grid(size)
    along = {"x": x + 0 * y, "y": y + 0 * x, "xy": (x + y) / 2}[background.axis]
    if background.pattern == "plain":
        share = np.zeros_like(along)
    elif background.pattern == "gradient":
        share = along
    else:  # a triangle wave, steepened to stripes with anti-aliased borders
        wave = np.abs(np.mod((along + background.phase) / background.width, 2.0) - 1.0)
        share = np.clip(0.5 + (0.5 - wave) * background.width * size, 0.0, 1.0)
    return first + (second - first) * share[..., None].astype(np.float32)


def render(scene: Scene, size: int = 64) -> np.ndarray:
    """Draw the scene.

    Returns:
        (size, size, 3) float32 RGB in [0, 1].
    """
    image = paint_background(scene.background, size)
    for shape in scene.shapes:
        share = coverage(shape, size)[..., None]
        image = image + (np.array(shape.paint, np.float32) - image) * share
    return image


def contrast_is_enough(rgb: RGB, background: Background) -> bool:
    """Does a shape of this colour stand out from the background everywhere?"""
    paints = background.paints[:1] if background.pattern == "plain" else background.paints
    return all(apart(rgb, paint) >= MIN_CONTRAST for paint in paints)
