"""The part of the page of `bench region` about the demo's edits: success, error outside, tokens, and the curves."""

from __future__ import annotations

from typing import Any

from workshop.report import between, table

from . import region_demo
from .region_demo import STOCK, TASKS, WAYS, Scenes, figures

GROUPS = {"all": TASKS, "the four local families": region_demo.LOCAL} | {
    task: (task,) for task in TASKS if task not in region_demo.LOCAL
}
MANY = 400  # scenes from which on an interval of two points can be told from one


def section(found: dict[str, Any]) -> list[str]:
    results: Scenes = found.get("scenes", {})
    if not results:
        return ["## The demo's edits", "", "Not run."]
    lines = [
        "## The demo's edits",
        "",
        f"{len(results)} unseen scenes, the demo's LoRA-MoE, 28 steps of Euler, one scene at a time, paired on the",
        f"same seeds; {found['machine']}. Success and error outside as in",
        "[demo_model.md](demo_model.md); in brackets the 95 % interval of the pairs. Tokens: computed ones of both",
        "panels over those of all steps, text not counted; of EasyCache its computed steps. In full: edits of which no",
        "step spared a token. Work: the processor's seconds for a whole edit with text encoders and VAE; not all ways",
        "of a scene ran in one go, so a tenth more or less says little.",
        "",
        *_table([way for way in WAYS if region_demo.having(results, way)], results, GROUPS),
        "",
    ]
    return [*lines, *(line for method in region_demo.METHODS for line in _curve(results, method))][:-1]


def _curve(results: Scenes, method: str) -> list[str]:
    """A method at several thresholds, beside its own one on the same scenes."""
    ways = region_demo.curve(results, method)
    if not ways:
        return [f"### {method} at several thresholds", "", "Not run.", ""]
    common = {index: row for index, row in results.items() if all(way in row for way in ways)}
    own = [method] if all(method in row for row in common.values()) and common else []
    groups = {name: GROUPS[name] for name in ("all", "the four local families")}
    lines = [f"### {method} at several thresholds", ""]
    if method == region_demo.EASY_CACHE:
        lines += [*_chosen(results), ""]
    elif own:
        lines += [f"`{method}` is the threshold that the node takes by itself.", ""]
    return [*lines, *_table([*own, *ways], common, groups), ""]


def _chosen(results: Scenes) -> list[str]:
    way = region_demo.affordable(results)
    if way is None:
        return ["Core's node; every measured threshold costs more than one point of success."]
    row = figures(results, way, TASKS)
    said = "" if row["scenes"] >= MANY else " On so few scenes the point itself is uncertain: see the interval."
    return [
        "Core's node. The highest measured threshold that costs at most one point of success is "
        f"{way.split(', ')[1]}: {_points(row)} points",
        f"on {row['scenes']:.0f} scenes, with {28 - row['full']:.1f} of 28 steps left out.{said}",
    ]


def _table(ways: list[str], results: Scenes, groups: dict[str, tuple[str, ...]]) -> list[str]:
    head = ["way", "edits", "scenes", "success", "points against all tokens", "error outside", "against all tokens"]
    cells = [
        [way, name, *_cells(way, figures(results, way, tuple(tasks)))]
        for way in ways
        for name, tasks in groups.items()
        if any(row[way]["task"] in tasks for row in region_demo.having(results, way).values())
    ]
    return table([*head, "tokens", "in full", "work"], cells)


def _cells(way: str, row: dict[str, float]) -> list[str]:
    points = "" if way == STOCK else _points(row)
    more, half = row["outside more"], row["outside half"]
    outside = "" if way == STOCK else between(more, (more - half, more + half), "+.4f")
    shares = f"{row['share']:.0%}", f"{row['whole']:.0%}", f"{row['work']:.2f} s"
    return [f"{row['scenes']:.0f}", f"{row['success']:.1%}", points, f"{row['outside']:.4f}", outside, *shares]


def _points(row: dict[str, float]) -> str:
    return between(row["points"], (row["points"] - row["half"], row["points"] + row["half"]), "+.1f")
