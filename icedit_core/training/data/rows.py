"""What a row of training data is, and what all readers check."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from PIL import Image

from ...foreign import line
from ...plain_files import open_regular
from ...prompt import clean

MOST_FILE = 1 << 50  # bytes; two small parts of a file are read
SHAPE_TOLERANCE = 0.02  # how far the proportions of source and target may differ


class BrokenRow(Exception):
    """A row that cannot be trained on.

    Args:
        key: which row, e.g. `pairs.jsonl:12`.
        reason: what is wrong with it, in words for the user.
    """

    def __init__(self, key: str, reason: str):
        self.key, self.reason = line(key), line(reason, 1000)
        super().__init__(f"{self.key}: {self.reason}")


@dataclass(frozen=True)
class Row:
    """One edit: RGB pictures of the same proportions, the user's words, and the family of the edit if known."""

    key: str
    source: Image.Image
    target: Image.Image
    instruction: str
    task: str | None = None


class Rows(Protocol):
    """Rows in a fixed order; reading a broken one raises `BrokenRow`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Row: ...

    def fingerprint(self) -> str:
        """Identity of the data: equal data, equal text, on every machine."""


class JoinedRows:
    """Several sets of rows, one after the other."""

    def __init__(self, parts: Sequence[Rows]):
        self._parts = list(parts)
        self._ends = list(accumulate(len(part) for part in self._parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> Row:
        part = bisect_right(self._ends, index)
        if index < 0 or part == len(self._parts):
            raise IndexError(index)
        return self._parts[part][index - (self._ends[part - 1] if part else 0)]

    def fingerprint(self) -> str:
        return hash_of(*(part.fingerprint() for part in self._parts))


def checked_row(key: str, source: Image.Image, target: Image.Image, instruction: object, task: object = None) -> Row:
    """A `Row`, if its words and pictures can be trained on.

    Raises:
        BrokenRow: no words, or pictures whose proportions differ by more than `SHAPE_TOLERANCE`. A difference in
            size alone is none: both are brought to the panel's size.
    """
    if task is not None and not isinstance(task, str):
        raise BrokenRow(key, f"the task is {line(task)}, but words or nothing are needed")
    (w, h), (w2, h2) = source.size, target.size
    if abs(w * h2 - w2 * h) > SHAPE_TOLERANCE * max(w * h2, w2 * h):
        raise BrokenRow(key, f"the source is {w}x{h} px and the target {w2}x{h2} px: other proportions")
    return Row(line(key), source, target, checked_words(key, instruction), task or None)


def checked_words(key: str, instruction: object) -> str:
    """The instruction as it stands.

    Raises:
        BrokenRow: it is no text, says nothing, or cannot be written as UTF-8.
    """
    if not isinstance(instruction, str):
        raise BrokenRow(key, f"the instruction is {line(instruction)}, but words are needed")
    try:
        clean(instruction).encode("utf-8")
    except UnicodeEncodeError:
        raise BrokenRow(key, "the instruction is no valid Unicode text") from None
    except ValueError:
        raise BrokenRow(key, f"the instruction is empty: {line(instruction)}") from None
    return instruction


def hash_of(*parts: str) -> str:
    """A short hash of some texts, in order."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]


def file_identity(path: Path, sample: int = 1 << 14) -> str:
    """A file's size and a hash of its first and last `sample` bytes.

    Dates are left out, so that a copy on another machine is the same data. An edit in place that keeps the size and
    both ends of a larger file is not seen; PNG and Parquet files end in sums over what comes before.

    Raises:
        ValueError: no regular file, or none that can be opened.
    """
    with open_regular(path, MOST_FILE) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(sample)
        file.seek(max(sample, size - sample))
        tail = file.read(sample)
    return f"{size}:{hashlib.sha256(head + tail).hexdigest()[:32]}"
