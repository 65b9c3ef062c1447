"""The layouts that pairs come in, each with its reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from .folder import FolderRows
from .magicbrush import MagicBrushRows
from .omniedit import OmniEditRows
from .rows import Rows

READERS: dict[str, Callable[[Path], Rows]] = {
    "folder": FolderRows,
    "magicbrush": MagicBrushRows,
    "omniedit": OmniEditRows,
}


class DataSource(Protocol):
    """The part of a configuration that says where the rows are."""

    @property
    def format(self) -> str: ...

    @property
    def path(self) -> str | Path: ...


def open_rows(data: DataSource) -> Rows:
    """The reader for `data.format` at `data.path`.

    Args:
        data: `format` is one of `READERS`; `path` is a JSONL file or its folder for "folder", and a Parquet or Arrow
            file, a folder of them or a pattern (`data/train-*.parquet`) for the others.
    Raises:
        ValueError: an unknown format, or nothing readable at the path.
    """
    if data.format not in READERS:
        raise ValueError(
            f"training data: got format {data.format!r}, but one of {', '.join(READERS)} is needed. "
            "Choose one, or write the pairs as a folder with a JSONL."
        )
    return READERS[data.format](Path(data.path).expanduser())
