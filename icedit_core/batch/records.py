"""One record a row, in a JSON Lines file that is whole after every line: a stopped run goes on with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import foreign
from ..folder_lock import FolderLock
from ..plain_files import json_object
from ..whole_files import write_whole

NAME = "records.jsonl"
MOST_LINE = 4 << 20  # bytes of one record
_OURS = {NAME, ".lock"}


class Records:
    """The records in a folder, held by one run at a time; use it with `with`.

    The first line is the head, what all rows share; each other line is the record of one row, under `row`.

    Args:
        folder: a new or empty one, or one with the records of the same run.
        who: the command, for errors.
    Raises:
        ValueError: the folder holds something else, or another run writes to it.
    """

    def __init__(self, folder: Path, who: str = "icedit batch") -> None:
        self.file = folder / NAME
        self.head: dict[str, Any] = {}
        self._folder, self._who = folder, who
        self._lock = FolderLock(folder, who, "run", "name another folder with -o")
        self._stream: Any = None

    def __enter__(self) -> Records:
        if (
            self._folder.is_dir()
            and not self.file.is_file()
            and any(p.name not in _OURS for p in self._folder.iterdir())
        ):
            raise ValueError(
                f"{self._folder} holds other things than the records of a run, but a new or an empty folder is needed. "
                "Name another one with -o."
            )
        try:
            self._lock.take()
        except OSError as problem:
            raise ValueError(f"{self._folder} cannot be written ({problem.strerror or problem}).") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._lock.release()

    def begin(self, head: Mapping[str, Any], same: tuple[str, ...], redo_errors: bool = False) -> dict[str, str]:
        """Write the head, or compare it with the one that is there.

        Args:
            head: what all rows share.
            same: which of it must be as before.
            redo_errors: forget the records of rows that failed.
        Returns:
            row -> digest of its wish, for every row that has a record; "" if that says it failed.
        Raises:
            ValueError: the folder's records are of another run, or damaged.
        """
        done: dict[str, str] = {}
        if self.file.exists() and self.file.stat().st_size:
            done = self._take_over(head, same, redo_errors)
        self._stream = open(self.file, "ab")
        if not self.head:
            self.head = dict(head)
            self._write(self.head)
        return done

    def add(self, record: Mapping[str, Any]) -> None:
        """Append one record; it is handed to the system as one line."""
        self._write(record)

    def _write(self, value: Mapping[str, Any]) -> None:
        line = json.dumps(value, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"
        self._stream.write(line)
        self._stream.flush()

    def _take_over(self, head: Mapping[str, Any], same: tuple[str, ...], redo_errors: bool) -> dict[str, str]:
        done: dict[str, str] = {}

        def copy(beside: Path) -> None:
            with open(beside, "wb") as stream:
                for line, record in lines(self.file):
                    if not self.head:
                        self.head = record
                        self._compare(head, same)
                    elif redo_errors and record.get("error"):
                        continue
                    else:
                        done[str(record.get("row"))] = "" if record.get("error") else str(record.get("wish", ""))
                    stream.write(line)

        write_whole(self.file, copy)  # without the last line if that was cut off in the middle
        return done

    def _compare(self, head: Mapping[str, Any], same: tuple[str, ...]) -> None:
        other = [name for name in same if self.head.get(name) != head.get(name)]
        if other:
            raise ValueError(
                f"{self.file} is of another run: its {', '.join(other)} differs from what is given now, but one folder "
                "takes one run. Name another folder with -o, or give the same again."
            )


def lines(file: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The whole lines of a records file, and what they say; a last line that was cut off is left out.

    Raises:
        ValueError: a line is damaged.
    """
    with open(file, "rb") as stream:
        number = 0
        while line := stream.readline(MOST_LINE):
            number += 1
            if not line.endswith(b"\n"):
                if len(line) < MOST_LINE:
                    return
                raise ValueError(f"{file}: line {number} is longer than {MOST_LINE} bytes.")
            try:
                yield line, json_object(line)
            except ValueError as problem:
                raise ValueError(f"{file}: line {number} {problem}. Remove it, and its row is run again.") from None


def inside(folder: Path, written: object) -> Path | None:
    """A file that a record names, if it is one and lies in the run's folder: records may be a stranger's."""
    if not isinstance(written, str) or not written or not foreign.is_plain(written):
        return None
    path = (folder / written).resolve()
    return path if path.is_relative_to(folder.resolve()) and path.is_file() else None


def first_picture(folder: Path, record: Mapping[str, Any]) -> Path | None:
    """The first of the pictures that a record names, if it lies in the run's folder."""
    files = record.get("files")
    return inside(folder, files[0]) if isinstance(files, list) and files else None


def read(file: Path) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """The head of a records file, and its records one by one.

    Raises:
        ValueError: it is none.
    """
    if not file.is_file():
        raise ValueError(f"got {file}, but there is no such file. Give the records.jsonl of a run, or its folder.")
    every = (record for _, record in lines(file))
    head = next(every, None)
    if head is None or "icedit" not in head:
        raise ValueError(f"{file} does not begin with the head of a run's records. Give the records.jsonl of a run.")
    return head, every
