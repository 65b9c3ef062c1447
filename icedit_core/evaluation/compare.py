"""Two or more runs over the same rows: numbers with intervals, and the pictures side by side on one page."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from . import outcomes, page, paired

PAGE, FIGURES = "compare.html", "compare.json"
SHOWN = 40  # rows whose pictures are on the page
ELO = 400 / math.log(10)
TEMPLATE = """
<p class="note">Rows are paired by name; each run is compared with the first, <b>{{ names[0] }}</b>, on the rows
that both have. Intervals: {{ "%g"|format(100 * confidence) }} % percentile bootstrap of the rows ({{ resamples }}
resamples, seed
{{ seed }}). A win is a row in which the run is better; a tie counts as a half.</p>
<table><tr><th>run</th><th>rows</th><th>failed</th><th>shared with the first</th></tr>
{% for run in runs %}<tr><td>{{ run.name }}</td><td>{{ run.rows }}</td>
<td{% if run.failed %} class="bad"{% endif %}>{{ run.failed }}</td><td>{{ run.shared }}</td></tr>{% endfor %}</table>
{% for metric, told in metrics.items() %}
<h2>{{ metric }}{% if not told.higher_is_better %} <span class="note">(less is better)</span>{% endif %}</h2>
<table><tr><th>run</th><th>rows</th><th>mean</th><th>interval</th><th>difference</th><th>interval</th><th>better</th>
<th>equal</th><th>worse</th><th>win rate</th>{% if told.strengths %}<th>Bradley-Terry (Elo points)</th>{% endif %}</tr>
{% for run in told.runs %}<tr><td>{{ run.name }}</td>
{% if run.mean %}<td>{{ run.mean.rows }}</td><td>{{ run.mean.mean|number }}</td>
<td>{{ run.mean.low|number }} to {{ run.mean.high|number }}</td>{% else %}<td>0</td><td>-</td><td>-</td>{% endif %}
{% if run.against_first %}{% set d = run.against_first.difference %}{% set w = run.against_first.wins %}
<td>{{ "%+.4g"|format(d.mean) }}</td><td>{{ "%+.4g"|format(d.low) }} to {{ "%+.4g"|format(d.high) }}</td>
<td>{{ w.better }}</td><td>{{ w.equal }}</td><td>{{ w.worse }}</td>
<td>{{ "%.1f %%"|format(100 * run.against_first.win_rate) }}</td>
{% else %}<td></td><td></td><td></td><td></td><td></td><td></td>{% endif %}
{% if told.strengths %}<td>{{ "%+.0f"|format(elo * told.strengths[loop.index0]) }}</td>{% endif %}</tr>
{% endfor %}</table>
<img alt="means of {{ metric }}" src="{{ told.plot }}">
{% endfor %}
<h2>Pictures</h2>
<p class="note">{{ shown|length }} of {{ shared }} shared rows
{%- if by %}, those that differ most in {{ by }}{% endif %}.</p>
{% for row in shown %}<div class="row"><p><b>{{ row.key }}</b> {{ row.instruction }}</p>
{% for cell in row.cells %}<figure>{% if cell.picture %}<img alt="" src="{{ cell.picture }}">{% else %}
<span class="bad">no picture</span>{% endif %}<figcaption>{{ cell.words }}</figcaption></figure>{% endfor %}</div>
{% endfor %}
"""


def compare(runs: Sequence[outcomes.Run], out: Path, lower: Collection[str] = ()) -> dict[str, Any]:
    """Write compare.json and compare.html into `out`.

    Args:
        runs: two or more; the first is what the others are compared with.
        lower: further metrics of which less is better.
    Returns:
        what compare.json holds.
    Raises:
        ValueError: fewer than two runs, or no row that the first shares with another.
    """
    if len(runs) < 2:
        raise ValueError(f"got {len(runs)} run(s), but two or more are compared. Name another one.")
    names = _names(runs)
    for run, name in zip(runs[1:], names[1:], strict=True):
        if not runs[0].rows.keys() & run.rows.keys():
            raise ValueError(
                f"{name} shares no row with {names[0]}, but rows are paired by name. Are both of one data set?"
            )
    metrics = [metric for metric in runs[0].metrics() if any(metric in run.metrics() for run in runs[1:])]
    found: dict[str, Any] = {
        "runs": [
            {"name": name, "rows": len(run.rows), "failed": run.failed,
             "shared": len(runs[0].rows.keys() & run.rows.keys()), "workflow": run.head.get("workflow")}
            for name, run in zip(names, runs, strict=True)
        ],
        "metrics": {
            metric: paired.table(names, [run.values(metric) for run in runs], metric not in {*outcomes.LOWER, *lower})
            for metric in metrics
        },
        "confidence": paired.CONFIDENCE, "resamples": paired.RESAMPLES, "seed": paired.SEED,
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    (out / FIGURES).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (out / PAGE).write_text(_page(found, runs, names, metrics), encoding="utf-8")
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """The comparison in a few lines of text."""
    said = []
    for metric, told in found["metrics"].items():
        for run in told["runs"]:
            if run["against_first"]:
                d = run["against_first"]["difference"]
                rate = 100 * run["against_first"]["win_rate"]
                said.append(
                    f"{metric}: {run['name']} {d['mean']:+.4g} ({d['low']:+.4g} to {d['high']:+.4g}) "
                    f"over {d['rows']} rows, win rate {rate:.1f} %"
                )
    return said


def _names(runs: Sequence[outcomes.Run]) -> list[str]:
    """The runs' names; equal ones get a number."""
    names = [run.name for run in runs]
    return [name if names.count(name) == 1 else f"{name} ({index})" for index, name in enumerate(names, 1)]


def _page(found: dict[str, Any], runs: Sequence[outcomes.Run], names: Sequence[str], metrics: Sequence[str]) -> str:
    shared = [key for key in runs[0].rows if all(key in run.rows for run in runs[1:])]
    by, chosen = _most_different(runs, metrics, shared)
    values = {
        **found,
        "metrics": {metric: told | {"plot": _plot(told)} for metric, told in found["metrics"].items()},
        "title": " and ".join(names) if len(names) == 2 else f"{len(names)} runs compared",
        "names": names, "elo": ELO, "by": by, "shared": len(shared),
        "shown": [_row(key, runs, names) for key in chosen],
    }  # fmt: skip
    return page.render(TEMPLATE, values)


def _most_different(
    runs: Sequence[outcomes.Run], metrics: Sequence[str], shared: Sequence[str]
) -> tuple[str, Sequence[str]]:
    """The rows to be shown, and the metric by which they were chosen."""
    for metric in metrics:
        spread = {}
        for key in shared:
            values = [run.rows[key].numbers[metric] for run in runs if metric in run.rows[key].numbers]
            spread[key] = max(values) - min(values) if len(values) > 1 else 0.0
        if metric not in ("seconds", "nfe") and any(spread.values()):
            return metric, sorted(shared, key=lambda key: -spread[key])[:SHOWN]
    return "", shared[:SHOWN]


def _row(key: str, runs: Sequence[outcomes.Run], names: Sequence[str]) -> dict[str, Any]:
    first = runs[0].rows[key]
    cells = [{"picture": page.picture(first.source), "words": "source"}] if first.source else []
    for run, name in zip(runs, names, strict=True):
        row = run.rows[key]
        told = ", ".join(f"{metric} {page.number(value)}" for metric, value in list(row.numbers.items())[:6])
        cells.append({"picture": page.picture(row.edit), "words": f"{name}: {row.error or told}"})
    return {"key": key, "instruction": first.instruction, "cells": cells}


def _plot(told: dict[str, Any]) -> str:
    shown = [(run["name"], run["mean"]) for run in told["runs"] if run["mean"]]
    return page.bars(
        [name for name, _ in shown], *([mean[key] for _, mean in shown] for key in ("mean", "low", "high"))
    )
