"""The page of the bench of X2Edit's experts, from its figures."""

from __future__ import annotations

import statistics

from workshop.report import table

from .moe_timing import Taken, machine_words, over_base, summary
from .x2_blocks import DEPTH, EXPERTS, IMAGE, RANK, SOURCE, TEXT, TOP_K, WIDTH, share

WAYS = {"base": "base", "again": "base once more: the noise", "ours": "ours", "published": "gathered tokens, published"}
BAR = 1.3  # times the share of multiplications that an overhead may be


def page(results: dict, missing: list[str]) -> str:
    """The page; `missing` names what the bench measures and these figures do not have yet."""
    lines = ["# What X2Edit's experts cost", "", *_how()]
    for dtype in dict.fromkeys(part.split("/")[1] for part in results):
        rows = {kind: results[f"{kind}/{dtype}"] for kind in DEPTH if f"{kind}/{dtype}" in results}
        if rows:
            lines += _blocks(dtype, rows)
    found = {part.split("/")[1]: row for part, row in results.items() if part.startswith("align/")}
    lines += [*(_align(found) if found else []), f"Not run: {', '.join(missing) or 'nothing'}."]
    return "\n".join(lines) + "\n"


def whole(rows: dict) -> dict[str, list[Taken]]:
    """What 19 + 38 blocks would have taken in each round, from one block of each kind."""
    ways: dict[str, list[Taken]] = {}
    for way in WAYS:
        pairs = zip(*(rows[kind]["seconds"][way] for kind in DEPTH), strict=True)
        ways[way] = [
            Taken(*(sum(depth * one[i] for depth, one in zip(DEPTH.values(), pair, strict=True)) for i in range(3)))
            for pair in pairs
        ]
    return ways


def _how() -> list[str]:
    ours, chosen = 100 * share(EXPERTS + 1), 100 * share(TOP_K + 1)
    return [
        "`python dev.py bench x2-overhead` goes on where it stopped. One double and one single block of FLUX.1 dev, in",
        f"the host's own classes: width {WIDTH}, {TEXT + IMAGE + SOURCE:,} tokens ({TEXT} text, {IMAGE:,} image, "
        f"{SOURCE:,} source),",
        f"{EXPERTS} experts and a shared one, {TOP_K} per token, rank {RANK}, random weights. All ways run by turns in",
        "one process, in another order each round. A percentage is the median over the rounds of a way's time over the",
        "base's in the same round, in brackets the middle half. *Work* is the processor's time. **The rows of 19 + 38",
        "blocks are computed** from those of one block of each kind; what a step does outside of them is left out.",
        "",
        "## The least it can cost",
        "",
        "Ours computes all experts of a layer in two products and lets the gates drop what was not chosen:",
        f"**{ours:.1f} %** more multiplications than the blocks have. The {TOP_K} chosen and the shared one are",
        f"{chosen:.1f} %. To get there, the tokens of each expert must be gathered and their results scattered back,",
        "which is what X2Edit's own layer does (*gathered tokens, published*): it moves every token several times, and",
        "waits for the number of tokens per expert.",
        "",
    ]


def _blocks(dtype: str, rows: dict) -> list[str]:
    first = next(iter(rows.values()))
    rounds = len(first["seconds"]["base"])
    machines = " / ".join(f"{kind}: {machine_words(row['machine'])}" for kind, row in rows.items())
    lines = [
        f"## In {dtype}",
        "",
        f"{rounds} rounds; {machines}.",
        "",
    ]
    cells = []
    for kind, row in rows.items():
        taken = {way: [Taken(*one) for one in row["seconds"][way]] for way in WAYS}
        cells += _rows(f"one {kind} block", taken, row["peak_mib"], None)
    if len(rows) == len(DEPTH):
        cells += _rows("19 + 38 blocks, computed", whole(rows), None, share(EXPERTS + 1))
    head = ["", "time", "over base, clock", "over base, work", "over the share of ours", "peak above base"]
    lines += table(head, cells)
    apart = ", ".join(f"{row['apart']:.1e} ({kind})" for kind, row in rows.items())
    lines += ["", f"Ours and the published way differ by {apart} of what the experts change in a block.", ""]
    if len(rows) == len(DEPTH):
        figures = summary(whole(rows)["ours"], whole(rows)["base"])
        times = figures["clock_over_base_percent"] / (100 * share(EXPERTS + 1))
        held = "within" if times <= BAR else "not within"
        lines += [f"Ours takes {times:.2f} times the share of its multiplications, {held} the {BAR} asked for.", ""]
    return lines


def _rows(title: str, taken: dict[str, list[Taken]], peaks: dict | None, least: float | None) -> list[list[str]]:
    rows = []
    for way, name in WAYS.items():
        row = summary(taken[way], taken["base"])
        ratio = f"{row['clock_over_base_percent'] / (100 * least):.2f}" if least and way == "ours" else ""
        peak = "" if not peaks or None in (peaks[way], peaks["base"]) else f"{peaks[way] - peaks['base']:+.0f} MiB"
        over = [over_base(row, kind) for kind in ("clock", "work")]
        rows.append([f"{title}: {name}", f"{row['median_ms'] / 1000:.2f} s", *over, ratio, peak])
    return rows


def _align(found: dict[str, dict]) -> list[str]:
    lines = [
        "## AlignNet",
        "",
        "29 states of 512 tokens and 3,584 numbers become 512 tokens of 4,096. The node computes in float32.",
        "",
    ]
    rows = []
    for dtype, row in found.items():
        clock, work = (statistics.median(one[i] for one in row["seconds"]["align"]) for i in (0, 1))
        peak = row["peak_mib"]["align"]
        held = [f"{row[key]:.0f} MiB" for key in ("weights_mib", "states_mib")]
        above = "not known" if peak is None else f"{peak:.0f} MiB"
        rows.append([dtype, f"{clock:.2f} s", f"{work:.2f} s", *held, above, machine_words(row["machine"])])
    head = ["", "clock", "work", "weights", "the states themselves", "peak above both", "machine"]
    return [*lines, *table(head, rows), ""]
