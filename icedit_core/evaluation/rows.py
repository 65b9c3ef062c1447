"""A data set's rows: sources written to be edited, edits made elsewhere found, records read. No torch is needed yet."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from ..batch import records
from ..batch.rows import Broken, Row, free_name
from ..whole_files import write_whole
from .items import Choice
from .protocols import read

SOURCES, EDITS = "sources", "pictures"
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


def prepare(name: str, data: Path, choice: Choice, out: Path, seed: int | None) -> tuple[list[Row], list[Broken]]:
    """Write every source picture of a data set into `out`; returns the rows to edit and the broken ones."""
    (out / SOURCES).mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    broken: list[Broken] = []
    names: set[str] = set()
    by_key: dict[str, str] = {}
    for made in read(name, data, choice):
        if isinstance(made, Broken):
            broken.append(made)
            continue
        row_name = free_name(made.key, names)
        file = out / SOURCES / f"{row_name}.png"
        if made.after:
            if made.after not in by_key:
                broken.append(Broken(made.key, f"the row before it, {made.after}, is broken or not among the rows"))
                continue
            file = out / EDITS / f"{by_key[made.after]}.png"
        elif not file.is_file():
            write_whole(file, partial(made.source.save, format="PNG"))
        by_key[made.key] = row_name
        rows.append(Row(made.key, row_name, file, made.instruction, seed, after=made.after))
    if not rows:
        why = f"; the first one: {broken[0].key}: {broken[0].reason}" if broken else ""
        raise ValueError(f"--data {data} has no row that can be edited, but at least one is needed{why}.")
    return rows, broken


def ready(rows: Iterable[Row], edits: Path) -> dict[str, Path]:
    """Row -> its edit, of pictures that were made elsewhere and are named after the row's key or name."""
    root = edits.resolve()
    found = {}
    for row in rows:
        for stem in (row.key, row.name):
            files = [(edits / f"{stem}{ending}").resolve() for ending in ENDINGS]
            good = next((file for file in files if file.is_relative_to(root) and file.is_file()), None)
            if good is not None:
                found[row.key] = good
                break
    return found


def records_of(out: Path) -> dict[str, dict[str, Any]]:
    """Row -> its record, of a run."""
    return {str(record["row"]): record for record in records.read(out / records.NAME)[1]}
