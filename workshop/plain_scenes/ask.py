"""An edit as a sentence: a wording, the names of what it is about, and how politely it is said."""

import numpy as np

from .draw import article
from .edits import Edit
from .refer import background_words, pick, places, refer, respell
from .wordings import (
    CAPITAL_SHARE,
    HELD_OUT_STYLES,
    HELD_OUT_WORDS,
    POLITE,
    POLITE_SHARE,
    STATEMENTS,
    STOP_SHARE,
    STYLES,
    WORDS,
)


def words(edit: Edit, rng: np.random.Generator) -> dict[str, str]:
    """What fills the gaps of a wording or a caption."""
    filled = {"picture": "{picture}"}  # filled by `respell`
    if edit.task == "background":
        return {**filled, "new": background_words(edit.after.background)}
    if edit.old:
        filled["old"] = refer(edit.before, edit.old, rng)
    if edit.new:
        filled["new"] = article(edit.new.kind if edit.kind == "shape" else edit.new.name)
        if edit.task == "recolour":
            filled["new"] = edit.new.colour
        if edit.task == "add":
            filled["place"] = pick(places(edit.new.cell), rng)
    return filled


def wording(edit: Edit, rng: np.random.Generator, held_out: bool = False) -> str:
    """One of the wordings of training, or one that training never saw."""
    ways, styles = (HELD_OUT_WORDS, HELD_OUT_STYLES) if held_out else (WORDS, STYLES)
    return pick(styles[edit.style] if edit.style else ways[edit.task], rng)


def sentence(edit: Edit, way: str, rng: np.random.Generator) -> str:
    """The wish in this wording: some polite, some with a capital, some with a full stop."""
    wish = way.format(**words(edit, rng))
    polite = rng.random() < POLITE_SHARE and not any(words in way for words in STATEMENTS) and way[0] != "{"
    if polite:
        wish = pick(POLITE, rng).format(wish=wish)
    text = respell(wish.replace("the color of it ", "its color "), rng)
    if rng.random() < CAPITAL_SHARE:
        text = text[0].upper() + text[1:]
    if rng.random() < STOP_SHARE:
        text += "?" if text.lower().startswith(("could", "can")) else "."
    return text
