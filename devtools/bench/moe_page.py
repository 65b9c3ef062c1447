"""The page of the moe bench, from its figures."""

from __future__ import annotations

from workshop.report import table

from .moe_layers import EXPERTS, RANK
from .moe_timing import machine_words, over_base

WAYS = {
    "base": "base",
    "merged": "LoRA, merged",
    "peft": "LoRA by peft, not merged",
    "ours": "ours",
    "loop": "loop over experts",
    "moved": "tokens moved to their expert",
}
PARTS = {
    "base": "base",
    "again": "base once more: the noise",
    "plain": "plain LoRA part alone, merged by the host",
    "experts": "experts alone",
    "ours": "ours: both",
}


def line(figures: dict) -> str:
    """One line for the terminal."""
    return ", ".join(f"{name} {row['median_ms']} ms ({_over(row)})" for name, row in figures["ways"].items())


def page(results: dict, missing: list[str]) -> str:
    """The page; `missing` names what the bench measures and these figures do not have yet."""
    lines = ["# What the routed layers cost", "", *_how(), *_floor(), *_steps(results["step"])]
    lines += [*_layers(results["layers"]), f"Not run: {', '.join(missing) or 'nothing'}."]
    return "\n".join(lines) + "\n"


def _how() -> list[str]:
    return [
        "`python dev.py bench moe` goes on where it stopped; `--anew` starts again. All ways run by turns in one",
        "process, in another order each round. A percentage is the median over the rounds of a way's time over the",
        "base's in the same round, in brackets the middle half of the rounds. *Work* is the processor's time, which",
        "other programs disturb less than the clock's; the machine's load is beside it, and where that is above the",
        "number of cores the clock says nothing.",
        f"Rank {RANK}, {EXPERTS} experts, 1 per token.",
        "",
    ]


def _floor() -> list[str]:
    """What the arithmetic alone costs: multiplications per token, in widths."""
    width, tokens, image = 3072, 2560, 2048
    block = 12 * width + 2 * tokens
    inner, outer = EXPERTS * (1 + RANK), EXPERTS * RANK
    single, double = 5 * inner + outer, (4 * inner + outer) * image / tokens
    all_experts = 100 * (2 * single + double) / (3 * block)
    chosen = EXPERTS + RANK
    one_expert = 100 * (2 * (5 * chosen + RANK) + (4 * chosen + RANK) * image / tokens) / (3 * block)
    return [
        "## The least it can cost",
        "",
        f"At width {width} and {tokens:,} tokens a block's products and attention take {block:,} x width",
        f"multiplications per token, the experts of a single block {single} x width, those of a double one",
        f"{double:.0f} x width (its text tokens have none): **{all_experts:.2f} % of a step** with one double block to",
        f"two single ones, as in FLUX. The chosen expert alone would be {one_expert:.2f} %, but its tokens must be",
        "moved together first, which needs their number on the host or a graph break; *tokens moved to their expert*",
        "below does that.",
        "",
    ]


def _steps(steps: dict) -> list[str]:
    lines = ["## A whole step", ""]
    if not steps:
        return [*lines, "Not run.", ""]
    first = next(iter(steps.values()))
    lines += [
        f"FLUX Fill with random weights, width {first['width']}, {first['blocks'][0]} double and {first['blocks'][1]} "
        f"single blocks, {first['tokens']:,} tokens, in the real host; the adapter has",
        "experts and LoRA on every published layer.",
        "",
    ]
    for row in steps.values():
        lines += _step(row)
    return lines


def _step(row: dict) -> list[str]:
    load, first, base = row["load_seconds"], row["loose"], row["loose"]["base"]
    lines = [
        f"### Stored in {row['stored']}, computed in {row['computed']}",
        "",
        f"{row['rounds']} rounds, {machine_words(row['machine'])}.",
        "",
    ]
    head = ["", "a step", "over base, clock", "over base, work", "held above base", "peak of a step above that"]
    rows = []
    for name, way in row["ways"].items():
        known = None not in (first[name]["resident_mib"], base["resident_mib"])
        held = first[name]["resident_mib"] - base["resident_mib"] if known else None
        over = [over_base(way, kind) for kind in ("clock", "work")]
        memory = [_mib(held), _mib(first[name]["peak_mib"])]
        rows.append([PARTS[name], f"{way['median_ms'] / 1000:.2f} s", *over, *memory])
    loose = [
        f"{name} {one['faults'] / 1e6:.2f} M ({100 * (one['work_ms'] / base['work_ms'] - 1):+.1f} %)"
        for name, one in first.items()
    ]
    return [
        *lines,
        *table(head, rows),
        "",
        f"The file is {row['file_mib']} MiB in bf16, its experts {row['experts_mib']} MiB as they are held. Reading it "
        f"took {load['read']:.2f} s, attaching {load['attach']:.2f} s,",
        f"the host's loading and merging {first['ours']['host_loads_seconds']:.1f} s (base: "
        f"{base['host_loads_seconds']:.1f} s).",
        "The experts are in the process from the start, so no row shows them; what the merged part holds are the",
        "weights that it replaced, which the host keeps for every LoRA.",
        "",
        f"With the system's allocator as it comes, page faults of one step and its work over the "
        f"base's: {', '.join(loose)}.",
        "The rounds above keep freed memory in the process, and have none.",
        "",
    ]


def _layers(layers: dict) -> list[str]:
    lines = ["## The Linears of one double and one single block", ""]
    if not layers:
        return [*lines, "Not run.", ""]
    lines += [
        "Merged and by peft, a plain LoRA of the same rank stands where ours and the loop have experts. The loop is",
        "the published equation, expert by expert. Percentages are of work. Peak: what a way takes above its start,",
        "less the base's. Load: the processor's time from the file's matrices to the first step.",
        "",
    ]
    head = ["width", "tokens", "dtype", *WAYS.values(), "peak: peft, ours, loop (MiB)", "load: merged, peft, ours"]
    cells = []
    rows = sorted(layers.values(), key=lambda row: (row["dtype"], row["width"], row["tokens"]))
    for row in rows:
        ways = row["ways"]
        over = [over_base(ways[name], "work") if name in ways else "not run" for name in list(WAYS)[1:]]
        case = [row["width"], row["tokens"], row["dtype"], f"{ways['base']['median_ms']:.1f} ms"]
        cells.append([*case, *over, _peaks(ways), _loads(row["load_ms"]), machine_words(row["machine"])])
    lines += table([*head, "machine"], cells)
    slower = [
        row
        for row in rows
        if row["ways"]["ours"]["work_over_base_percent"] > row["ways"]["loop"]["work_over_base_percent"]
    ]
    lines += ["", f"Slower than the loop over the experts: in {len(slower)} of {len(rows)} cases.", ""]
    return lines


def _peaks(ways: dict) -> str:
    base = ways["base"]["peak_mib"]
    chosen = [ways[name]["peak_mib"] if name in ways else None for name in ("peft", "ours", "loop")]
    return ", ".join("-" if None in (base, peak) else f"{peak - base:+.0f}" for peak in chosen)


def _loads(load: dict) -> str:
    return ", ".join(f"{load[name] / 1000:.2f} s" if load.get(name) else "-" for name in ("merged", "peft", "ours"))


def _over(row: dict) -> str:
    return f"{over_base(row, 'clock')}, work {over_base(row, 'work')}"


def _mib(value: float | None) -> str:
    return "not known" if value is None else f"{value:.0f} MiB"
