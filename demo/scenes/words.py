"""Every word that a prompt of training or measuring can hold."""

from .captions import DIFFERENCES, DIPTYCHS, STYLE_STATES
from .draw import BACKGROUND_COLOURS, CELLS, SHAPE_COLOURS, SHAPES
from .edits import TASKS
from .wordings import STYLES, WORDS


def known() -> dict[str, list[str]]:
    """What the demo model was trained on: all words in lower case, colours, kinds of things, families of edits."""
    return {
        "words": sorted({word.strip(",.:").lower() for word in vocabulary()}),
        "colours": sorted({*SHAPE_COLOURS, *BACKGROUND_COLOURS}),
        "things": sorted(SHAPES),
        "families": list(TASKS),
    }


def vocabulary() -> list[str]:
    """All words, first words of sentences in both cases, sorted."""
    asked = [s for wordings in (*WORDS.values(), *STYLES.values()) for s in wordings]
    said = [*DIPTYCHS, *(s for states in (*DIFFERENCES.values(), *STYLE_STATES.values()) for s in states)]
    names = [
        *SHAPES,
        *SHAPE_COLOURS,
        *BACKGROUND_COLOURS,
        *CELLS,
        "a an and to gradient stripes striped nothing, on in",
    ]
    names += [f"{cell}," for cell in CELLS] + [f"{style}," for style in STYLES] + ["background, background", *STYLES]
    words = {word for text in (*asked, *said, *names) for word in text.split() if "{" not in word}
    return sorted(words | {w.strip(",.:") for w in words} | {s.split()[0].capitalize() for s in asked})
