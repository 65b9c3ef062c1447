"""What a base model reads: captions of pictures and of pairs side by side. They describe; none of them asks.

An image model is trained on descriptions, so the base model of the demo is too: it learns what pictures and pairs of
pictures look like, and no instruction.
"""

import numpy as np

from .ask import words
from .draw import article, caption
from .edits import Edit
from .refer import pick, respell

IDENTICAL = "the scene is exactly the same as on the left but {difference}"
DIPTYCHS = (
    "On the right, " + IDENTICAL,
    "Two side-by-side images of the same scene. On the right {difference}",
    "A diptych of the same scene. On the right, {difference}",
    "side-by-side images, on the right {difference}",
)
WHOLE = "A diptych of the same scene. On the right, {caption}"
DIFFERENCES = {
    "recolour": (
        "{old} is {new}",
        "{old} has become {new}",
        "the color of {old} is {new}",
        "the {kind} in the {cell} is {new}",
        "there is {whole} in the {cell}",
        "the {kind} in the {cell} has become {new}",
    ),
    "remove": (
        "{old} is missing",
        "without {old}",
        "there is no {name}",
        "there is nothing in the {cell}",
        "the {kind} in the {cell} is missing",
    ),
    "add": (
        "there is {new} {place}",
        "with {new} {place}",
        "{new} is {place}",
        "{new} has appeared {place}",
    ),
    "swap": (
        "{old} is {new}",
        "{old} has become {new}",
        "there is {new} where {old} was",
        "there is {whole} in the {cell}",
        "the {kind} in the {cell} is {new}",
    ),
    "background": (
        "the background is {new}",
        "the background has become {new}",
        "on {described} background",
        "with {described} background",
        "the color of the background is {new}",
    ),
}
STYLE_STATES = {
    "grayscale": ("in black and white", "in grayscale", "in shades of grey"),
    "negative": ("with inverted colors", "as a negative", "in inverted colors"),
    "sepia": ("in sepia", "with a sepia tone", "as an old sepia photo"),
    "darker": ("in the dark", "in dark colors", "with little light"),
    "brighter": ("in bright light", "in bright colors", "with much light"),
}


def difference(edit: Edit, rng: np.random.Generator) -> str:
    """How the right picture differs from the left, e.g. 'the red circle is blue'."""
    states = STYLE_STATES[edit.style] if edit.style else DIFFERENCES[edit.task]
    shape = edit.old or edit.new
    filled = words(edit, rng) | {"described": article(edit.after.background.name)}
    if shape:
        filled |= {"kind": shape.kind, "name": shape.name, "whole": article(edit.new.name) if edit.new else ""}
        if not shape.cell:
            states = [state for state in states if "{cell}" not in state]
        filled["cell"] = shape.cell
    return respell(pick(states, rng).format(**filled).replace("the color of it ", "its color "), rng)


def pair(edit: Edit, rng: np.random.Generator) -> str:
    """A caption of the pair in some wording other than the in-context prompt's."""
    if rng.random() < 0.25:
        return WHOLE.format(caption=respell(edit.caption(), rng))
    return DIPTYCHS[int(rng.integers(len(DIPTYCHS)))].format(difference=difference(edit, rng))


def single(edit: Edit) -> str:
    """A caption of the edited picture alone."""
    return edit.caption()


__all__ = ["DIFFERENCES", "DIPTYCHS", "STYLE_STATES", "caption", "difference", "pair", "single"]
