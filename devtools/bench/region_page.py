"""The page of the bench of computing only what changes, from its figures."""

from __future__ import annotations

from statistics import median
from typing import Any

from demo import scenes
from workshop.report import table

from . import region_blocks, region_demo
from .moe_timing import machine_words
from .region_blocks import DEPTH, SIZES


def page(results: dict[str, Any]) -> str:
    lines = [
        "# Computing only what changes",
        "",
        "`python dev.py bench region` goes on where it stopped. ICEdit Only What Changes against the model as it is.",
        "",
        *_blocks(results["blocks"]),
        *_demo(results["demo"]),
    ]
    return "\n".join(lines) + "\n"


def _work(row: dict[str, Any]) -> dict[str, float]:
    """Median seconds of the processor's work."""
    return {way: median(one[1] for one in taken) for way, taken in row["seconds"].items()}


def _blocks(found: dict[str, Any]) -> list[str]:
    lines = [
        "## Blocks of full width",
        "",
        "One double and one single block of FLUX.1 in the host's own classes, width 3072, float32, random weights;",
        "every way in one process, one after the other. Figures are the processor's work, which other programs on the",
        "machine do not change much. **19 + 38 blocks and 28 steps are computed** from one block of each kind; what a",
        "step does outside of the blocks, and the choice of tokens, are left out. Text: 512 tokens.",
        "",
    ]
    for size, tokens in SIZES.items():
        rows = {kind: found[f"{size}/{kind}"] for kind in DEPTH if f"{size}/{kind}" in found}
        if len(rows) < len(DEPTH):
            lines += [f"{size}: not run.", ""]
            continue
        lines += _size(size, tokens, rows)
    return lines


def _size(size: str, tokens: region_blocks.Size, rows: dict[str, Any]) -> list[str]:
    seconds = {kind: _work(row) for kind, row in rows.items()}
    ways = list(next(iter(seconds.values())))
    kept = sum(DEPTH[kind] * row["kept_mib"] for kind, row in rows.items()) / 1024
    first = next(iter(rows.values()))
    rounds = len(first["seconds"]["stock"])
    lines = [
        f"### {size}: {tokens.picture:,} tokens and {tokens.reference:,} of the reference",
        "",
        f"{rounds} round{'s' if rounds > 1 else ''}; {machine_words(first['machine'])}. Keys and values of 57 blocks, "
        f"computed: {kept:.1f} GiB in float32, half of it in bfloat16.",
        "",
    ]
    cost = {way: sum(DEPTH[kind] * seconds[kind][way] for kind in DEPTH) for way in ways}
    lines += table(
        ["way", "one double block", "one single block", "19 + 38 blocks over stock, computed"],
        ([way, *(f"{seconds[kind][way]:.2f} s" for kind in DEPTH), f"{cost[way] / cost['stock']:.1%}"] for way in ways),
    )
    edits = [region_blocks.whole_edit(seconds, f"short {share:.0%}") for share in region_blocks.SHARES]
    faster = table(
        ["28 steps, computed: times faster", *(f"{share:.0%} changes" for share in region_blocks.SHARES)],
        ([name, *(f"{edit[name]:.2f}" for edit in edits)] for name in edits[0]),
    )
    return [*lines, "", *faster, ""]


def _demo(found: dict[str, Any]) -> list[str]:
    results = found.get("scenes", {})
    if not results:
        return ["## The demo's edits", "", "Not run."]
    lines = [
        "## The demo's edits",
        "",
        f"{len(results)} unseen scenes, the demo's LoRA-MoE, 28 steps of Euler, one scene at a time, paired on the",
        f"same seeds; {found['machine']}. Success and error outside as in [demo_model.md](demo_model.md). Tokens:",
        "computed ones of both panels over those of all steps, text not counted. The interval is that of the pairs.",
        "",
    ]
    head = ["way", "edits", "scenes", "success", "points against all tokens (95 %)", "error outside", "tokens"]
    cells = []
    groups = {"all": scenes.TASKS, "the four local families": region_demo.LOCAL}
    groups |= {task: (task,) for task in scenes.TASKS if task not in region_demo.LOCAL}
    common = set.intersection(*(set(row) for row in results.values()))
    for way in (way for way in next(iter(results.values())) if way in common):
        for name, tasks in groups.items():
            if not any(row[way]["task"] in tasks for row in results.values()):
                continue
            row = region_demo.figures(results, way, tuple(tasks))
            points = "" if way == "all tokens" else f"{row['points']:+.1f} ({row['points'] - row['half']:+.1f} .. "
            points += "" if way == "all tokens" else f"{row['points'] + row['half']:+.1f})"
            shares = f"{row['success']:.1%}", points, f"{row['outside']:.4f}", f"{row['share']:.0%}"
            cells.append([way, name, row["scenes"], *shares])
    return lines + table(head, cells)
