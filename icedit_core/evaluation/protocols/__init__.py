"""One protocol a file: what its data set looks like, and what is compared with what."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from ...batch.rows import Broken
from ...training.data.rows import BrokenRow
from ..items import About, Choice, Item

NAMES = ("magicbrush", "magicbrush_turns", "emu", "gedit", "imgedit", "pie", "folder", "scenes")


def about(name: str) -> About:
    """What the protocol says of itself."""
    found: About = import_module(f".{name}", __name__).ABOUT
    return found


def read(name: str, data: Path, choice: Choice) -> Iterator[Item | Broken]:
    """The items of a data set in its order, broken rows among them; a key that comes again is one.

    Raises:
        ValueError: the data is not there or has another layout.
    """
    seen: set[str] = set()
    for number, made in enumerate(import_module(f".{name}", __name__).read(data, choice)):
        if choice.limit is not None and number >= choice.limit:
            return
        if isinstance(made, BrokenRow):
            yield Broken(made.key, made.reason)
        elif isinstance(made, Item) and made.key in seen:
            yield Broken(f"{made.key} (again, row {number + 1})", "the row is there twice; the first one counts")
        else:
            seen.add(made.key)
            yield made
