"""What `icedit eval` does once its arguments are read: sources written, rows edited, edits measured, the report.

torch, which takes seconds to import, is first needed to measure, or by a model or a judge that is given.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from .. import foreign
from ..batch import engines, facts, records
from ..batch.rows import Broken, Row
from ..evaluation import outcomes, protocols, report
from ..evaluation import rows as data_rows
from ..evaluation.items import Choice, Item
from ..whole_files import write_whole
from . import batching, judge_options

if TYPE_CHECKING:
    from ..evaluation.judging import Asked
    from ..evaluation.metrics.models import Models

FAILED = 1  # exit code


def run(arguments: argparse.Namespace) -> int:
    """Edit and measure; returns the exit code."""
    choice = _checked(arguments)
    about = protocols.about(arguments.protocol)
    given = arguments.clip or arguments.dino or arguments.lpips
    models = _models(arguments) if given else None  # what is none of these is refused before anything is edited
    asked = judge_options.read(arguments)
    options = batching.options_of(arguments)
    head = {"icedit": "eval", "protocol": about.name, "limit": choice.limit, "language": choice.language}
    options.head, options.same = head, ("protocol", "limit", "language")
    with records.Records(arguments.out, "icedit eval") as kept:
        rows, broken = data_rows.prepare(about.name, arguments.data, choice, arguments.out, arguments.seed)
        if arguments.edits is None:
            work = engines.edit_all(rows, broken, options, kept, arguments.out, sys.stderr)
            summary = asyncio.run(work)
            if summary.stopped:
                return batching.tell(summary, arguments.out, None, "icedit eval")
            made = _records(rows, arguments.out)
        else:
            made = _ready(rows, arguments.edits, kept, head)
        judged, stopped = _judged(arguments, choice, asked, made)
        models = models or _models(arguments)
        counts = _measure(arguments, choice, models, made, judged)
    for line in report.write(arguments.out, about, counts, _facts(arguments, rows, broken, models)):
        print(line)
    print(arguments.out / report.PAGE, flush=True)
    if stopped:
        print(f"icedit eval: {foreign.text(stopped, 2000)} The same command asks about the others.", file=sys.stderr)
    return FAILED if counts.get("failed") or counts.get("broken") or stopped else 0


def _models(arguments: argparse.Namespace) -> Models:
    from ..evaluation.metrics.models import Models

    return Models(arguments.clip, arguments.dino, arguments.lpips, arguments.lpips_net)


def _checked(arguments: argparse.Namespace) -> Choice:
    if not arguments.data.exists():
        raise ValueError(f"--data got {arguments.data}, but there is no such file or folder.")
    if arguments.edits is not None and not arguments.edits.is_dir():
        raise ValueError(f"--edits got {arguments.edits}, but there is no such folder.")
    if arguments.limit is not None and arguments.limit < 1:
        raise ValueError(f"--limit got {arguments.limit}, but 1 or more is needed.")
    return Choice(arguments.language, arguments.limit)


def _records(rows: list[Row], out: Path) -> dict[str, dict[str, Any]]:
    """The run's records, each with its source."""
    made = data_rows.records_of(out)
    for row in rows:
        if row.key in made:
            made[row.key]["source"] = row.image.relative_to(out).as_posix()
    return made


def _ready(rows: list[Row], edits: Path, kept: records.Records, head: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Records of pictures made elsewhere; they are linked into the run's folder for the report."""
    done = kept.begin(head | {"edits": str(edits)}, ("icedit", "protocol", "limit", "language", "edits"))
    found = data_rows.ready(rows, edits)
    folder = kept.file.parent / data_rows.EDITS
    folder.mkdir(exist_ok=True)
    made: dict[str, dict[str, Any]] = {}
    for row in rows:
        before = made.get(row.after, {}).get("files") or [""]
        source = before[0] if row.after else f"{data_rows.SOURCES}/{row.image.name}"
        file = found.get(row.key)
        if file is None:
            made[row.key] = {"error": f"there is no picture of it in {edits}", "source": source}
            continue
        copy = folder / f"{row.name}{file.suffix.lower()}"
        if not copy.is_file():
            write_whole(copy, partial(shutil.copyfile, file))
        made[row.key] = {"files": [f"{data_rows.EDITS}/{copy.name}"], "source": source, "error": None}
        if row.key not in done:
            kept.add({"row": row.key, **made[row.key], "sha256": [facts.hash_of(copy)]})
    return made


def _say(words: str) -> None:
    print(f"  {foreign.indented(words, 500)}", file=sys.stderr)


def _judged(
    arguments: argparse.Namespace, choice: Choice, asked: Asked | None, made: dict[str, Any]
) -> tuple[dict[str, dict[str, Any]] | None, str]:
    """Row -> the judge's record, None without a judge; and why it was given up, or ""."""
    if asked is None:
        return None, ""
    from ..evaluation import judging, measure

    about = protocols.about(arguments.protocol)

    def opened(item: Item) -> tuple[Image.Image, Image.Image]:
        return measure.opened(item, about, made, arguments.out)

    items = protocols.read(about.name, arguments.data, choice)
    return judging.judge_all(items, opened, asked, arguments.out, _say)


def _measure(
    arguments: argparse.Namespace, choice: Choice, models: Models, made: dict[str, Any],
    judged: dict[str, dict[str, Any]] | None,
) -> dict[str, int]:  # fmt: skip
    from ..evaluation import measure

    about = protocols.about(arguments.protocol)
    items = protocols.read(about.name, arguments.data, choice)
    lines = measure.measured(items, about, models, made, arguments.out, judged)
    head = {"icedit": "metrics", "protocol": about.name, **models.hashes()}
    return measure.write(lines, head, arguments.out, _say)


def _facts(arguments: argparse.Namespace, rows: list[Row], broken: list[Broken], models: Models) -> dict[str, Any]:
    head, _ = records.read(arguments.out / records.NAME)
    weights = outcomes.read(arguments.out / outcomes.METRICS).head
    found = {
        "rows": len(rows) + len(broken), "data": arguments.data.name, "limit": arguments.limit or "none",
        "workflow": head.get("workflow_name") or f"pictures in {arguments.edits}",
        "workflow's SHA-256": head.get("workflow") or "-", "settings": ", ".join(head.get("set", [])) or "none",
    }  # fmt: skip
    hashes = {f"models: {name}": value or "hash not known" for name, value in head.get("models", {}).items()}
    if arguments.judge is not None:
        from ..evaluation import judging

        told, _ = records.read(arguments.out / judging.FOLDER / records.NAME)
        found |= {"judge": told["judge"], "questions": "; ".join(f"{k}: {v}" for k, v in told["questions"].items())}
    return found | hashes | {f"{name} weights": weights.get(name) or "not given" for name in ("clip", "dino", "lpips")}
