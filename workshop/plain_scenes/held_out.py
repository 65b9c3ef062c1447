"""Combinations of colour, shape and task that training never shows, so that a measurement can ask for them."""

from .colours import SHAPE_COLOURS
from .draw import SHAPES, Background, Shape

_TASKS = ("recolour", "remove", "add", "swap", "style")
BACKGROUNDS = {("plain", "tan"), ("gradient", "navy"), ("gradient", "white"), ("stripes", "brown"), ("stripes", "grey")}


def _pairs(task: int) -> set[tuple[str, str]]:
    """One shape of each colour, so that every colour and every shape is still seen in other company."""
    kinds = list(SHAPES)
    return {(colour, kinds[(5 * i + 2 + task) % len(kinds)]) for i, colour in enumerate(SHAPE_COLOURS)}


COMBINATIONS = {task: _pairs(i) for i, task in enumerate(_TASKS)}


def holds(task: str, shapes: list[Shape], background: Background) -> bool:
    """Is one of the shapes that the edit is about, or its new background, kept out of training for this task?"""
    if task == "background":
        return (background.pattern, background.first) in BACKGROUNDS
    return any((s.colour, s.kind) in COMBINATIONS[task] for s in shapes)
