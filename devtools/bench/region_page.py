"""The page of the bench of computing only what changes, from its figures."""

from __future__ import annotations

from statistics import median
from typing import Any

from icedit_core.only_changes import kept
from workshop.report import table

from . import region_blocks, region_demo, region_demo_page
from .moe_timing import machine_words
from .region_blocks import DEPTH, SIZES, WIDTH

FLOAT32 = 4  # bytes


def page(results: dict[str, Any]) -> str:
    lines = [
        "# Computing only what changes",
        "",
        "`python dev.py bench region` goes on where it stopped. ICEdit Only What Changes against the model as it is.",
        "",
        *_blocks(results["blocks"], results["demo"].get("scenes", {})),
        *region_demo_page.section(results["demo"]),
    ]
    return "\n".join(lines) + "\n"


def _work(row: dict[str, Any]) -> dict[str, float]:
    """Median seconds of the processor's work."""
    return {way: median(one[1] for one in taken) for way, taken in row["seconds"].items()}


def _blocks(found: dict[str, Any], measured: region_demo.Scenes) -> list[str]:
    lines = [
        "## Blocks of full width",
        "",
        "One double and one single block of FLUX.1 in the host's own classes, width 3072, float32, random weights;",
        "every way in one process, one after the other. Figures are the processor's work, which other programs on the",
        "machine change less than the clock. **19 + 38 blocks and 28 steps are computed** from one block of each kind;",
        "what a step does outside of the blocks, and the choice of tokens, are left out. Text: 512 tokens. spot: 5",
        "full and 23 short steps of 28; region: 9 and 19, of which 14 need no model call where velocities are used",
        "again.",
        *_easy_cache_note(measured),
        "",
    ]
    for size, tokens in SIZES.items():
        rows = {kind: found[f"{size}/{kind}"] for kind in DEPTH if f"{size}/{kind}" in found}
        if len(rows) < len(DEPTH):
            lines += [f"{size}: not run.", ""]
            continue
        lines += _size(size, tokens, rows, _steps_of_easy_cache(measured))
    return lines


def _steps_of_easy_cache(measured: region_demo.Scenes) -> float | None:
    """How many of 28 steps it computed on the demo, at the threshold that may cost a point."""
    way = region_demo.affordable(measured)
    return None if way is None else region_demo.figures(measured, way, region_demo.TASKS)["full"]


def _easy_cache_note(measured: region_demo.Scenes) -> list[str]:
    computed = _steps_of_easy_cache(measured)
    if computed is None:
        return ["EasyCache: no threshold was measured on the demo that costs at most one point."]
    way = region_demo.affordable(measured)
    return [
        f"EasyCache, computed: of 28 steps it left out {28 - computed:.1f} on the demo's edits, at the threshold that",
        f"costs them at most one point ({way}, see the curve below); a step that is left out counts as nothing.",
    ]


def _size(size: str, tokens: region_blocks.Size, rows: dict[str, Any], easy_cache: float | None) -> list[str]:
    seconds = {kind: _work(row) for kind, row in rows.items()}
    ways = list(next(iter(seconds.values())))
    first = next(iter(rows.values()))
    rounds = len(first["seconds"]["stock"])
    lines = [
        f"### {size}: {tokens.picture:,} tokens and {tokens.reference:,} of the reference",
        "",
        f"{rounds} round{'s' if rounds > 1 else ''}; {machine_words(first['machine'])}.",
        *_memory(tokens, rows),
        "",
    ]
    cost = {way: sum(DEPTH[kind] * seconds[kind][way] for kind in DEPTH) for way in ways}
    cells = []
    for way in ways:
        shares = (f"{cost[way] / cost[whole]:.1%}" for whole in ("stock", "full"))
        cells.append([way, *(f"{seconds[kind][way]:.2f} s" for kind in DEPTH), *shares])
    head = ["way", "one double block", "one single block", "19 + 38 blocks over stock, computed", "over a full step"]
    edits = [region_blocks.whole_edit(seconds, f"short {share:.0%}", easy_cache) for share in region_blocks.SHARES]
    faster = table(
        ["28 steps, computed: times faster", *(f"{share:.0%} changes" for share in region_blocks.SHARES)],
        ([name, *(f"{edit[name]:.2f}" for edit in edits)] for name in edits[0]),
    )
    return [*lines, *table(head, cells), "", *faster, ""]


def _memory(tokens: region_blocks.Size, rows: dict[str, Any]) -> list[str]:
    """Kept keys and values, by the formula and as measured."""
    block, count = kept.size(sum(tokens), WIDTH, 1, FLOAT32) / 2**20, sum(tokens)
    measured = " and ".join(f"{row['kept_mib']:,.1f} MiB in one {kind} block" for kind, row in rows.items())
    every = block * sum(DEPTH.values()) / 1024
    return [
        f"Keys and values in float32: computed {block:,.1f} MiB a block (2 x {count:,} tokens x {WIDTH} x 4 bytes),",
        f"measured {measured}. Of 57 blocks, computed: {every:.1f} GiB, half of it in bfloat16.",
    ]
