"""Write what was measured: figures as JSON, a page in Markdown, and the spellings that the pages share."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from icedit_core.whole_files import write_whole

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


def read(out: Path, name: str) -> dict[str, Any]:
    """The figures in NAME.json of the folder `out`; none if that file is not there."""
    file = out / f"{name}.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def write(out: Path, name: str, figures: dict[str, Any], page: str) -> None:
    """Write NAME.json and NAME.md in the folder `out`, which is made if need be."""
    write_figures(out, name, figures)
    write_page(out, name, page)


def write_figures(out: Path, name: str, figures: dict[str, Any], lines: str = "") -> None:
    """Write NAME.json.

    Args:
        lines: the name of a long list in `figures`; it comes last in the file, each of its items on one line.
    """
    text = json.dumps({key: value for key, value in figures.items() if key != lines}, indent=1)
    if lines:
        items = ",\n  ".join(json.dumps(item) for item in figures[lines])
        text = f'{text[:-2]},\n "{lines}": [\n  {items}\n ]\n}}'
    _write(out / f"{name}.json", text + "\n")


def write_page(out: Path, name: str, page: str) -> None:
    """Write NAME.md."""
    _write(out / f"{name}.md", page)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, lambda part: part.write_text(text, encoding="utf-8", newline="\n"))


def table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """The lines of a table in Markdown; the first heading may be empty."""
    first = " | ".join(head)
    lines = [f"| {first} |" if head[0] else f"|{first} |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


def wilson(passed: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of the share `passed / count`; z = 1.96 is 95 %, 1.645 is 90 %."""
    share = passed / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return centre - half, centre + half


def between(value: float, interval: Sequence[float], form: str) -> str:
    """A value with its interval, each in the format `form`: "61.1% (44.9% to 75.2%)"."""
    low, high = (format(end, form) for end in interval)
    return f"{value:{form}} ({low} to {high})"
