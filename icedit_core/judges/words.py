"""A judge's words made fit to be shown: without keys and control characters, and of bounded length."""

from __future__ import annotations

from .. import foreign
from .keys import masked


def text(value: str, most: int = foreign.TEXT_LENGTH) -> str:
    """Words of several lines, as the judge wrote them, cut at `most` characters."""
    return foreign.text(masked(value), most)


def line(value: object, most: int = foreign.LINE_LENGTH) -> str:
    """Words on one line, so that none looks like a line of a report."""
    return foreign.line(" ".join(masked(str(value)).split()), most)
