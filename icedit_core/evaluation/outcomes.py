"""What a run gave, row by row: numbers and pictures, from the folder of a run or from a JSONL of one's own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import foreign
from ..batch import records

METRICS = "metrics.jsonl"
LOWER = frozenset({
    "seconds", "nfe", "l1", "l2", "mse", "lpips", "dino_distance", "structure_distance", "error_inside",
    "error_outside",
    "l1_unedited", "mse_unedited", "lpips_unedited", "l1_final", "l2_final",
})  # fmt: skip
"""Metrics of which less is better; of all others more is."""
MOST_NUMBERS = 100  # metrics of a row


@dataclass
class Outcome:
    """One row: its numbers, its words and where its pictures lie."""

    row: str
    numbers: dict[str, float] = field(default_factory=dict)
    instruction: str = ""
    task: str = ""
    error: str = ""
    edit: Path | None = None
    source: Path | None = None
    seed: int | None = None


@dataclass
class Run:
    """All rows of a run, and how many of them failed."""

    name: str
    rows: dict[str, Outcome]
    failed: int
    head: Mapping[str, Any]

    def values(self, metric: str) -> dict[str, float]:
        """Row -> value, of the rows that have that metric."""
        return {key: row.numbers[metric] for key, row in self.rows.items() if metric in row.numbers}

    def metrics(self) -> list[str]:
        """The metrics that any row has, in the order of their appearance."""
        return list(dict.fromkeys(name for row in self.rows.values() for name in row.numbers))


def read(given: Path, name: str | None = None) -> Run:
    """A run's folder (metrics.jsonl of `icedit eval`, else records.jsonl), or a JSONL.

    A line of a JSONL has `row` and numbers, at its top or in `metrics`.

    Raises:
        ValueError: there is no such file, a line is damaged, a row is there twice, or there are no rows.
    """
    file = given
    if given.is_dir():
        file = next((given / n for n in (METRICS, records.NAME) if (given / n).is_file()), given / METRICS)
    if not file.is_file():
        raise ValueError(f"got {given}, but a run's folder with {METRICS} or {records.NAME}, or a JSONL is needed.")
    head: Mapping[str, Any] = {}
    rows: dict[str, Outcome] = {}
    for number, line in enumerate((line for _, line in records.lines(file)), 1):
        if number == 1 and "icedit" in line:
            head = line
            continue
        outcome = _outcome(line, file, number)
        if outcome.row in rows:
            raise ValueError(f"{file}: line {number}: row {foreign.line(outcome.row)} is there twice.")
        rows[outcome.row] = outcome
    if not rows:
        raise ValueError(f"{file} has no rows, but at least one is needed.")
    return Run(name or given.resolve().name, rows, sum(bool(row.error) for row in rows.values()), head)


def _outcome(line: Mapping[str, Any], file: Path, number: int) -> Outcome:
    if not isinstance(line.get("row"), (str, int)):
        raise ValueError(f"{file}: line {number} has no row, but the name of one is needed to pair it.")
    error = line.get("error")
    found = Outcome(str(line["row"]), dict(_numbers(line)), error=foreign.text(error) if error else "")
    found.instruction, found.task = (foreign.text(line.get(key) or "") for key in ("instruction", "task"))
    found.edit = records.first_picture(file.parent, line) or records.inside(file.parent, line.get("edit"))
    found.source = records.inside(file.parent, line.get("source"))
    found.seed = line["seed"] if isinstance(line.get("seed"), int) else None
    return found


def _numbers(line: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    nested = line.get("metrics")
    every = [*line.items(), *(nested.items() if isinstance(nested, dict) else ())]
    for name, value in every[:MOST_NUMBERS]:
        if isinstance(value, (int, float)) and name not in ("row", "seed", "seed_wanted") and math.isfinite(value):
            if not isinstance(value, bool) or name not in ("broken",):
                yield foreign.line(name, 60), float(value)
