"""What a training writes down: a line a step in loss.csv, the routers' habits in router.csv, report.json at the end."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..whole_files import sync, write_whole


class Table:
    """A CSV file whose first column is the step; rows are appended, and those after a step can be dropped."""

    def __init__(self, path: Path, columns: Iterable[str]):
        self.path, self.columns = path, ["step", *columns]

    def begin(self, step: int) -> None:
        """Keep the rows up to `step` of what an earlier run wrote; a line cut off by a kill lies beyond it."""
        kept = [row for row in self.read() if row["step"] <= step]
        write_whole(self.path, lambda path: self._write(path, kept))

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows."""
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerows(rows)

    def sync(self) -> None:
        sync(self.path)

    def read(self) -> list[dict[str, float]]:
        """Whole rows as numbers; an empty cell is left out."""
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if None not in row and None not in row.values()]
        return [{name: float(cell) for name, cell in row.items() if cell} for row in rows]

    def _write(self, path: Path, rows: list[dict[str, float]]) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows({**row, "step": int(row["step"])} for row in rows)


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Write report.json in one go."""
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    write_whole(path, lambda beside: _put(beside, text))


def _put(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
