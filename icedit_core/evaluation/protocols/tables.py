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
    try:
        table = Table(data, needed, wanted)
    except ValueError as problem:
        raise ValueError(str(problem).replace("training data:", "--data:")) from None
    for index in range(len(table)):
        try:
            made = make(table.key(index), table[index])
        except BrokenRow as problem:
            yield problem
            continue
        if made is not None:
            yield made
