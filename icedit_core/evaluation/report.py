"""The report of one run: figures and intervals beside the published ones, per task, best and worst, what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import outcomes, page, paired
from .items import About

PAGE = "report.html"
SHOWN = 8  # best and worst rows
MOST_FAILED = 200  # failed rows that are listed
FIRST = ("success", "judge_overall", "clip_i", "psnr_masked", "psnr_found", "l1")
"""By which metric rows are the best and the worst: the first that there is."""
TEMPLATE = """
<p>{{ about.words }}</p>
<table>{% for name, value in facts.items() %}<tr><td>{{ name }}</td><td>{{ value }}</td></tr>{% endfor %}</table>
<h2>Figures</h2>
<p class="note">Means over the rows with {{ "%g"|format(100 * confidence) }} % percentile bootstrap intervals.
{% if about.mean == "tasks" %}The published way is the mean of the tasks' means, beside it.{% endif %}</p>
<table><tr><th>metric</th><th>rows</th><th>mean</th><th>interval</th>
{% if about.mean == "tasks" %}<th>mean of tasks</th>{% endif %}
{% for who, _, source in about.published %}<th>{{ who }} ({{ source }})</th>{% endfor %}</tr>
{% for row in figures %}<tr><td>{{ row.name }}
{%- if row.lower %} <span class="note">(less is better)</span>{% endif %}</td>
<td>{{ row.told.rows }}</td><td>{{ row.told.mean|number }}</td>
<td>{{ row.told.low|number }} to {{ row.told.high|number }}</td>
{% if about.mean == "tasks" %}<td>{{ row.of_tasks|number }}</td>{% endif %}
{% for _, values, _ in about.published %}<td>{{ values.get(row.name)|number }}</td>{% endfor %}</tr>
{% endfor %}</table>
{% if tasks|length > 1 %}<h2>By task</h2>
<table><tr><th>task</th><th>rows</th>{% for row in figures %}<th>{{ row.name }}</th>{% endfor %}</tr>
{% for task in tasks %}<tr><td>{{ task.name }}</td><td>{{ task.rows }}</td>
{% for value in task["values"] %}<td>{{ value|number }}</td>{% endfor %}</tr>{% endfor %}</table>
{% if plot %}<img alt="{{ by }} by task" src="{{ plot }}">{% endif %}{% endif %}
{% if histogram %}<h2>Spread of {{ by }}</h2><img alt="histogram" src="{{ histogram }}">{% endif %}
{% for title, rows in shown %}{% if rows %}<h2>{{ title }}</h2>{% for row in rows %}
<div class="row"><p><b>{{ row.key }}</b> {{ row.instruction }}</p>
<figure>{% if row.source %}<img alt="" src="{{ row.source }}">{% endif %}<figcaption>source</figcaption></figure>
<figure>{% if row.edit %}<img alt="" src="{{ row.edit }}">{% endif %}
<figcaption>{{ row.words }}</figcaption></figure></div>
{% endfor %}{% endif %}{% endfor %}
<h2>Failed, broken and left out</h2>
<table>{% for name, value in counts.items() %}<tr><td>{{ name }}</td><td>{{ value }}</td></tr>{% endfor %}</table>
{% if failed %}<table><tr><th>row</th><th>why</th></tr>
{% for row in failed %}<tr><td>{{ row.row }}</td><td class="bad">{{ row.error }}</td></tr>{% endfor %}</table>
{% if more %}<p class="note">and {{ more }} more, in metrics.jsonl</p>{% endif %}{% endif %}
"""


def write(out: Path, about: About, counts: Mapping[str, int], facts: Mapping[str, Any]) -> list[str]:
    """Write report.html from metrics.jsonl; returns the figures in a few lines of text."""
    run = outcomes.read(out / outcomes.METRICS)
    names = [name for name in run.metrics() if name not in ("size",)]
    figures = [_figure(run, name) for name in names]
    by = next((name for name in FIRST if name in names), names[0] if names else "")
    good = sorted((row for row in run.rows.values() if by in row.numbers), key=lambda row: row.numbers[by])
    if by not in outcomes.LOWER:
        good.reverse()
    failed = [row for row in run.rows.values() if row.error]
    tasks = _tasks(run, names)
    values = {
        "title": f"icedit eval: {about.name}", "about": about, "facts": facts, "confidence": paired.CONFIDENCE,
        "figures": figures, "tasks": tasks, "by": by, "counts": counts,
        "plot": _plot(tasks, names, by), "histogram": _histogram([row.numbers[by] for row in good]),
        "shown": (("Best", _rows(good[:SHOWN])), ("Worst", _rows(good[::-1][: max(0, min(SHOWN, len(good) - SHOWN))]))),
        "failed": failed[:MOST_FAILED], "more": max(0, len(failed) - MOST_FAILED),
    }  # fmt: skip
    (out / PAGE).write_text(page.render(TEMPLATE, values), encoding="utf-8")
    return [
        f"{row['name']} {told.mean:.4g} ({told.low:.4g} to {told.high:.4g}), {told.rows} rows"
        for row in figures
        for told in [row["told"]]
    ]


def _figure(run: outcomes.Run, name: str) -> dict[str, Any]:
    values = run.values(name)
    by_task: dict[str, list[float]] = {}
    for key, value in values.items():
        by_task.setdefault(run.rows[key].task, []).append(value)
    means = [sum(part) / len(part) for part in by_task.values()]
    told = paired.interval(list(values.values()))
    return {"name": name, "told": told, "of_tasks": sum(means) / len(means), "lower": name in outcomes.LOWER}


def _tasks(run: outcomes.Run, names: Sequence[str]) -> list[dict[str, Any]]:
    """The tasks' means, in the order of their names."""
    found = []
    for task in sorted({row.task for row in run.rows.values() if row.task}):
        rows = [row for row in run.rows.values() if row.task == task]
        parts = [[row.numbers[name] for row in rows if name in row.numbers] for name in names]
        found.append(
            {"name": task, "rows": len(rows), "values": [sum(part) / len(part) if part else None for part in parts]}
        )
    return found


def _rows(rows: Sequence[outcomes.Outcome]) -> list[dict[str, Any]]:
    return [
        {
            "key": row.row, "instruction": row.instruction, "source": page.picture(row.source),
            "edit": page.picture(row.edit),
            "words": ", ".join(f"{name} {page.number(value)}" for name, value in list(row.numbers.items())[:8]),
        }
        for row in rows
    ]  # fmt: skip


def _plot(tasks: Sequence[Mapping[str, Any]], names: Sequence[str], by: str) -> str:
    if len(tasks) < 2 or by not in names:
        return ""
    at = names.index(by)
    shown = [(task["name"], task["values"][at]) for task in tasks if task["values"][at] is not None]
    means = [mean for _, mean in shown]
    return page.bars([name for name, _ in shown], means, means, means) if shown else ""


def _histogram(values: Sequence[float]) -> str:
    if len(set(values)) < 3:
        return ""
    return page.plot(lambda axes: axes.hist(values, bins=min(30, len(values)), color="#6a8caf"))
