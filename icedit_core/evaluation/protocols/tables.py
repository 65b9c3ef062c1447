"""What the protocols share whose data sets are Parquet shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...training.data.rows import BrokenRow
from ...training.data.tables import Table
from ..items import Item


def items(
    data: Path, needed: tuple[str, ...], wanted: tuple[str, ...], make: Callable[[str, dict[str, Any]], Item | None]
) -> Iterator[Item | BrokenRow]:
    """An item a row; None of `make` leaves the row out.

    Raises:
        ValueError: no shard has the needed columns.
    """
    table = _table(data, needed, wanted)
    for index in range(len(table)):
        try:
            made = make(table.key(index), table[index])
        except BrokenRow as problem:
            yield problem
            continue
        if made is not None:
            yield made


def rows(data: Path, needed: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The values of some columns, of every row that can be read.

    Raises:
        ValueError: no shard has the columns.
    """
    table = _table(data, needed, ())
    for index in range(len(table)):
        try:
            yield table[index]
        except BrokenRow:
            continue


def _table(data: Path, needed: tuple[str, ...], wanted: tuple[str, ...]) -> Table:
    try:
        return Table(data, needed, wanted)
    except ValueError as problem:
        raise ValueError(str(problem).replace("training data:", "--data:")) from None
