"""Every word that a prompt of training or measuring can hold."""

from .captions import DIFFERENCES, DIPTYCHS, STYLE_STATES
from .colours import BACKGROUND_COLOURS, SHAPE_COLOURS
from .draw import CELLS, SHAPES
from .refer import PICTURES, SPELLINGS, places
from .wordings import POLITE, STYLES, WORDS

MARKS = ".,?"


def vocabulary() -> list[str]:
    """All words, first words of sentences in both cases, sorted."""
    asked = [s for wordings in (*WORDS.values(), *STYLES.values()) for s in wordings] + list(POLITE)
    asked += [place for cell in CELLS for place in places(cell)]
    said = [*DIPTYCHS, *(s for states in (*DIFFERENCES.values(), *STYLE_STATES.values()) for s in states)]
    names = [*SHAPES, *SHAPE_COLOURS, *BACKGROUND_COLOURS, *CELLS, *STYLES, *PICTURES, *sum(SPELLINGS.values(), ())]
    names += ["a an the and to it its shape gradient stripes striped nothing on in background"]
    words = {word.strip(MARKS) for text in (*asked, *said, *names) for word in text.split() if "{" not in word}
    return sorted(words | {word.capitalize() for word in words})
