"""Every word that an instruction can hold."""

from .draw import BACKGROUND_COLOURS, CELLS, SHAPE_COLOURS, SHAPES
from .edits import STYLES, WORDS


def vocabulary() -> list[str]:
    """All words, first words of sentences in both cases, sorted."""
    sentences = [s for wordings in (*WORDS.values(), *STYLES.values()) for s in wordings]
    names = [*SHAPES, *SHAPE_COLOURS, *BACKGROUND_COLOURS, *CELLS, "a an and to gradient stripes"]
    words = {word for text in (*sentences, *names) for word in text.split() if "{" not in word}
    return sorted(words | {s.split()[0].capitalize() for s in sentences})
