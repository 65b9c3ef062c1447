"""One row of a benchmark, whatever its layout, and what a protocol says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from .. import foreign
from ..batch.rows import Broken
from ..plain_files import json_object, open_regular
from ..training.data.images import decode
from ..training.data.rows import BrokenRow

MOST_LIST = 2 << 30  # bytes of a list of rows
MOST_LINE = 1 << 20
LANGUAGES = ("en", "cn")


@dataclass
class Item:
    """One edit to be made and judged.

    Attributes:
        key: names the row; unique in a data set.
        source, target: RGB; the target is the edit as it should be, where the data set has one.
        mask: mode L, of the source's size: white may change. None where the data set has none.
        captions: of the source and of the edit.
        after: key of the item whose edit is edited here, in the place of `source`; it comes before this one.
        last: nothing comes after it in its session.
    """

    key: str
    source: Image.Image
    instruction: str
    task: str = ""
    target: Image.Image | None = None
    mask: Image.Image | None = None
    captions: tuple[str, str] | None = None
    after: str = ""
    last: bool = False


@dataclass(frozen=True)
class Choice:
    """What is taken of a data set: rows of one language where it has several, and so many rows at most."""

    language: str = "en"
    limit: int | None = None


@dataclass(frozen=True)
class About:
    """A protocol as published.

    Attributes:
        name: as `--protocol` has it.
        words: what is compared with what, for the report, with the source of that.
        metrics: names of the metric files that it takes.
        against: "target" or "source": what the edit is brought to the size of and compared with.
        right_square: cut a wide result to its right lower square, as PIE-Bench's evaluation does.
        mean: "rows", or "tasks": the mean of the tasks' means is what is published.
        published: (who, metric -> value, source), shown beside ours.
    """

    name: str
    words: str
    metrics: tuple[str, ...]
    against: str = "source"
    right_square: bool = False
    mean: str = "rows"
    published: tuple[tuple[str, Mapping[str, float], str], ...] = field(default_factory=tuple)


class Protocol_(Protocol):
    ABOUT: About

    def read(self, data: Path, choice: Choice) -> Iterator[Item | Broken]: ...


def words(key: str, value: object, what: str = "instruction") -> str:
    """A text with something in it.

    Raises:
        BrokenRow: it is none.
    """
    if not isinstance(value, str) or not value.strip():
        raise BrokenRow(key, f"the {what} is {foreign.line(value)}, but words are needed")
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in value):
        raise BrokenRow(key, f"the {what} is no valid Unicode text")
    return value.strip()


def picture(key: str, name: str, root: Path, written: object) -> Image.Image:
    """A picture that a list names by a path inside its folder.

    Raises:
        BrokenRow: the path leads out, or there is no picture that can be read.
    """
    if not isinstance(written, str) or not written.strip():
        raise BrokenRow(key, f"the {name} is {foreign.line(written)}, but a path is needed")
    try:
        path = (root / written).resolve()
    except (OSError, RuntimeError, ValueError) as problem:
        raise BrokenRow(key, f"the {name} path {foreign.line(written)} is none: {foreign.line(problem)}") from None
    if not path.is_relative_to(root.resolve()):
        raise BrokenRow(key, f"the {name} path {foreign.line(written)} leads out of the folder")
    return decode(key, name, path)


def mask_of(key: str, image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A mask of the source's size: white may change.

    Raises:
        BrokenRow: it has another size.
    """
    if image.size != size:
        raise BrokenRow(key, f"the mask is {image.width}x{image.height} px and the source {size[0]}x{size[1]} px")
    return image.convert("L").point(lambda value: 255 if value >= 128 else 0)


def json_list(file: Path) -> dict[str, Any]:
    """The JSON object in a benchmark's list.

    Raises:
        ValueError: it is none.
    """
    try:
        with open_regular(file, MOST_LINE * 256) as opened:
            return json_object(opened.read())
    except ValueError as problem:
        raise ValueError(f"--data: {file} {problem}, but the benchmark's list is needed there.") from None
