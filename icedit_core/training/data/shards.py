"""The files of a table: found, named and opened; regular files alone, as a pipe would block."""

from __future__ import annotations

from glob import glob, has_magic
from pathlib import Path
from typing import BinaryIO

from ...plain_files import open_regular
from .rows import MOST_FILE, file_identity


def find(path: Path) -> list[Path]:
    if has_magic(str(path)):
        files = [Path(name) for name in glob(str(path), recursive=True)]
    elif path.is_dir():
        arrow = [file for file in path.rglob("*.arrow") if not file.name.startswith(("cache-", "indices-"))]
        files = list(path.rglob("*.parquet")) or arrow
    else:
        files = [path] if path.is_file() else []
    if not files:
        raise ValueError(
            f"training data: got {path}, but no Parquet or Arrow file is there. Name a file, a folder or a pattern "
            "such as data/train-*.parquet."
        )
    return sorted(files)


def relative(files: list[Path]) -> list[str]:
    """The paths below the folder that all files share."""
    shared = files[0].parent
    while not all(file.is_relative_to(shared) for file in files):
        shared = shared.parent
    return [file.relative_to(shared).as_posix() for file in files]


def identity(file: Path) -> str:
    try:
        return file_identity(file)
    except ValueError:  # its rows are one broken row
        return "unreadable"


def regular(file: Path) -> BinaryIO:
    """The open file.

    Raises:
        OSError: it cannot be opened, or is a pipe or a device.
    """
    try:
        return open_regular(file, MOST_FILE)
    except ValueError as error:
        raise OSError(f"it {error}") from None
