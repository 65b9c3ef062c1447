"""From the edits of a run to its figures: one line of metrics a row, everything that is missing counted."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from .. import foreign
from ..batch import records
from ..batch.rows import Broken
from ..training.data.images import decode
from ..training.data.rows import BrokenRow
from ..whole_files import write_whole
from . import judging, metrics, outcomes
from .items import About, Item
from .metrics.models import Models
from .metrics.pair import paired, right_square

TABLE = "metrics.csv"
FINAL = ("l1", "l2", "clip_i", "dino")  # also of the last edits of sessions alone
Say = Callable[[str], None]


def measured(
    items: Iterable[Item | Broken],
    about: About,
    models: Models,
    kept: Mapping[str, Mapping[str, Any]],
    out: Path,
    judged: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[dict[str, Any]]:
    """A line of metrics for each item, in the data set's order.

    Args:
        kept: row -> its record: `files` below `out`, or `error`.
        judged: row -> a judge's record, if one was asked.
    """
    for made in items:
        if isinstance(made, Broken):
            yield {"row": made.key, "error": made.reason, "broken": True}
            continue
        record = kept.get(made.key, {"error": "it was not edited"})
        line = {
            "row": made.key, "task": made.task, "instruction": made.instruction, "error": record.get("error"),
            "seed": record.get("seed"), "seconds": record.get("seconds"), "nfe": record.get("nfe"),
            "source": record.get("source"), "files": record.get("files", []),
        }  # fmt: skip
        if not line["error"]:
            try:
                source, edit = opened(made, about, kept, out)
                line |= _line(replace(made, source=source), about, models, edit, _edit(made.key, record, out).size)
                if judged is not None:
                    scores, left = judging.values(judged.get(made.key))
                    line["metrics"] |= scores
                    line["left_out"] += left
            except BrokenRow as problem:
                line["error"] = problem.reason
        yield line


def opened(
    item: Item, about: About, kept: Mapping[str, Mapping[str, Any]], out: Path
) -> tuple[Image.Image, Image.Image]:
    """What was edited, and the edit, cut as the protocol has it.

    Raises:
        BrokenRow: there is no such picture.
    """
    source = _edit(item.after, kept.get(item.after, {}), out) if item.after else item.source
    edit = _edit(item.key, kept.get(item.key, {}), out)
    return source, right_square(edit) if about.right_square else edit


def _edit(key: str, record: Mapping[str, Any], out: Path) -> Image.Image:
    file = records.first_picture(out, record)
    if file is None:
        raise BrokenRow(key, "its picture is missing")
    return decode(key, "edit", file)


def _line(item: Item, about: About, models: Models, edit: Image.Image, size: tuple[int, int]) -> dict[str, Any]:
    """The metrics of a row; `size` is what the edit had before it was resized or cut."""
    pair = paired(item.source, edit, item.target, item.mask, item.captions, about.against == "target")
    values, left = metrics.measure(pair, models, about.metrics)
    if item.last:
        values |= {f"{name}_final": values[name] for name in FINAL if name in values}
    return {"metrics": values, "left_out": left, "size": list(size)}


def write(lines: Iterable[dict[str, Any]], head: Mapping[str, Any], out: Path, say: Say) -> dict[str, Any]:
    """Write metrics.jsonl and metrics.csv; returns what was counted."""
    counts: Counter[str] = Counter()

    def put(beside: Path) -> None:
        with open(beside, "w", encoding="ascii") as stream:
            stream.write(json.dumps(head) + "\n")
            for line in lines:
                counts["rows"] += 1
                counts["broken"] += bool(line.get("broken"))
                counts["failed"] += bool(line["error"]) and not line.get("broken")
                counts.update(f"left out: {why}" for why in line.get("left_out", []))
                stream.write(json.dumps(line, allow_nan=False) + "\n")
                if line["error"]:
                    say(f"{foreign.line(line['row'])}: {foreign.line(line['error'], 300)}")

    write_whole(out / outcomes.METRICS, put)
    _table(out)
    return dict(counts)


def _table(out: Path) -> None:
    """The same as CSV; text that a spreadsheet would take for a formula gets a quote in front."""
    run = outcomes.read(out / outcomes.METRICS)
    names = run.metrics()
    with open(out / TABLE, "w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["row", "task", "instruction", "error", *names])
        for row in run.rows.values():
            said = [_plain(text) for text in (row.row, row.task, row.instruction, row.error)]
            table.writerow([*said, *(row.numbers.get(name, "") for name in names)])


def _plain(text: str) -> str:
    return f"'{text}" if text[:1] in "=+-@\t\r" and text else text
