"""How people name the thing, the place and the colour that an edit is about."""

import numpy as np

from .draw import Background, Scene, Shape, article

IT, KIND, PLACE, SHAPE = "it", "kind", "place", "shape"
_WEIGHTS = {"name": 0.55, IT: 0.5, KIND: 0.4, PLACE: 0.06, SHAPE: 0.03}
SPELLINGS = {"color": ("color", "colour"), "grey": ("grey", "grey", "gray"), "colors": ("colors", "colours")}
PICTURES = ("image", "picture", "drawing", "photo")
_MIDDLES = ("in the middle", "in the center", "in the centre", "in the middle of the {picture}")


def references(scene: Scene, shape: Shape) -> dict[str, str]:
    """The phrases that fit this shape and no other of the scene, e.g. {"name": "the red circle", "it": "it"}."""
    others = [s for s in scene.shapes if s is not shape]
    phrases = {"name": f"the {shape.name}", SHAPE: f"the {shape.colour} shape"}
    if all(s.kind != shape.kind for s in others):
        phrases[KIND] = f"the {shape.kind}"
    if not others:
        phrases[IT] = "it"
    if shape.cell:
        phrases[PLACE] = f"the {shape.kind} in the {shape.cell}"
    return phrases


def refer(scene: Scene, shape: Shape, rng: np.random.Generator) -> str:
    """One of the phrases, the full name and the short ones most often."""
    phrases = references(scene, shape)
    weights = np.array([_WEIGHTS[sort] for sort in phrases])
    return list(phrases.values())[int(rng.choice(len(phrases), p=weights / weights.sum()))]


def places(cell: str) -> list[str]:
    """What names a cell, e.g. 'in the top left', 'in the upper left corner'."""
    if cell == "middle":
        return list(_MIDDLES)
    other = cell.replace("top", "upper").replace("bottom", "lower")
    return [f"in the {cell}", f"in the {cell} corner", f"in the {other}", f"in the {other} corner", f"at the {cell}"]


def background_words(background: Background) -> str:
    """A new background as an instruction names it, e.g. 'a white to tan gradient'."""
    if background.pattern == "gradient":
        return article(background.name)
    return background.name.replace("striped", "stripes")


def pick(options, rng: np.random.Generator) -> str:
    """One of them."""
    return str(options[int(rng.integers(len(options)))])


def respell(text: str, rng: np.random.Generator) -> str:
    """Fill {picture}, and spell in one of two ways what has two."""
    while "{picture}" in text:
        text = text.replace("{picture}", pick(PICTURES, rng), 1)
    words = [pick(SPELLINGS.get(word, (word,)), rng) for word in text.split(" ")]
    return " ".join(words)
