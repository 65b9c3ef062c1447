"""Who spreads the rows: this machine over several servers, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from . import run
from .records import Records
from .rows import Broken, Row


async def edit_all(
    rows: Sequence[Row], broken: Sequence[Broken], options: run.Options, records: Records, folder: Path, stream: TextIO
) -> run.Summary:
    """Edit every row that has no record yet; errors as for `run.edit_all`."""
    if options.ray is None:
        return await run.edit_all(rows, broken, options, records, folder, stream)
    from . import ray_engine

    return await ray_engine.edit_all(rows, broken, options, records, folder, stream)
