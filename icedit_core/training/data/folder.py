"""A folder of pictures with a JSONL: one object a line with source, target, instruction and, if known, task."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from ...foreign import line as shown
from ...plain_files import json_object, open_regular
from .images import decode
from .rows import BrokenRow, Row, checked_row, checked_words, file_identity, hash_of

MOST_LIST = 2 << 30  # bytes of a JSONL
MOST_LINE = 1 << 20


class FolderRows:
    """The rows of a JSONL in UTF-8.

    Picture paths are relative to the JSONL's folder and stay inside it. Other fields are left alone.

    Args:
        path: the JSONL, or its folder if that holds a single one.
    Raises:
        ValueError: no JSONL there, several, or an empty one.
    """

    def __init__(self, path: Path):
        self._file = _jsonl(path)
        self._folder = self._file.parent.resolve()
        lines = _read(self._file).removeprefix(b"\xef\xbb\xbf").split(b"\n")
        self._lines = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        if not self._lines:
            raise ValueError(
                f"training data: {self._file} is empty, but a line for each pair is needed. Write the pairs."
            )

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> Row:
        number, line = self._lines[index]
        key = f"{self._file.name}:{number}"
        fields = _fields(key, line)
        checked_words(key, fields["instruction"])  # before the pictures: cheaper
        source, target = (decode(key, name, self._picture(key, name, fields[name])) for name in ("source", "target"))
        return checked_row(key, source, target, fields["instruction"], fields.get("task"))

    def _picture(self, key: str, name: str, written: object) -> Path:
        if not isinstance(written, str) or not written.strip():
            raise BrokenRow(key, f"the {name} is {shown(written)}, but a path is needed")
        try:
            path = (self._folder / written).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # links in a circle are a RuntimeError before 3.13
            raise BrokenRow(key, f"the {name} path {shown(written)} is none: {shown(error)}") from None
        if not path.is_relative_to(self._folder):
            raise BrokenRow(key, f"the {name} path {shown(written)} leads out of the folder")
        return path

    def fingerprint(self) -> str:
        """Identity of the JSONL's lines and of every picture that they name."""

        @cache
        def identity(path: Path) -> str:
            try:
                return file_identity(path)
            except (OSError, ValueError):
                return "unreadable"

        found = []
        for number, line in self._lines:
            found.append(hash_of(line.decode("latin-1")))
            try:
                fields = _fields("", line)
                found += [identity(self._picture("", name, fields[name])) for name in ("source", "target")]
            except BrokenRow:
                found.append(f"broken {number}")
        return hash_of("folder", *found)


def _jsonl(path: Path) -> Path:
    if path.is_file():
        return path
    found = sorted(path.glob("*.jsonl")) if path.is_dir() else []
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or ("none there" if path.is_dir() else "no such folder")
        raise ValueError(
            f"training data: got {path} ({names}), but a folder with one JSONL is needed. Name the JSONL itself."
        )
    return found[0]


def _read(file: Path) -> bytes:
    try:
        with open_regular(file, MOST_LIST) as opened:
            return opened.read()
    except ValueError as error:
        raise ValueError(f"training data: {file} {error}, but a JSONL is needed. Name another, or divide it.") from None


def _fields(key: str, line: bytes) -> dict[str, Any]:
    if len(line) > MOST_LINE:
        raise BrokenRow(key, f"the line has {len(line)} bytes, more than {MOST_LINE}")
    try:
        fields = json_object(line)
    except ValueError as error:
        raise BrokenRow(key, f"the line {error}") from None
    if missing := [name for name in ("source", "target", "instruction") if name not in fields]:
        raise BrokenRow(key, f"{', '.join(missing)} missing; it has {shown(', '.join(fields))}")
    return fields
