"""From the edits of a run to its figures: one line of metrics a row, everything that is missing counted."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from .. import foreign
from ..batch import records
from ..batch.rows import Broken, Row, free_name
from ..training.data.images import decode
from ..training.data.rows import BrokenRow
from ..whole_files import write_whole
from . import judging, metrics, outcomes
from .items import About, Choice, Item
from .metrics.models import Models
from .metrics.pair import paired, right_square
from .protocols import read

SOURCES, EDITS, TABLE = "sources", "pictures", "metrics.csv"
FINAL = ("l1", "l2", "clip_i", "dino")  # also of the last edits of sessions alone
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
Say = Callable[[str], None]


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


def records_of(out: Path) -> dict[str, dict[str, Any]]:
    """Row -> its record, of a run."""
    return {str(record["row"]): record for record in records.read(out / records.NAME)[1]}
