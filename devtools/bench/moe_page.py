"""The page of the moe bench, from its figures."""

from __future__ import annotations

WAYS = {
    "base": "base",
    "merged": "LoRA, merged",
    "peft": "LoRA by peft, not merged",
    "ours": "ours",
    "loop": "loop over experts",
}
MIB = 64  # what working memory may cost


def line(figures: dict) -> str:
    """One line for the terminal."""
    if "ways" in figures:
        parts = [f"{name} {row['median_ms']} ms ({_over(row)})" for name, row in figures["ways"].items()]
        return ", ".join(parts)
    ours = figures["ours"]
    return f"base {figures['base']['median_ms']} ms, ours {ours['median_ms']} ms ({_over(ours)})"


def page(results: dict) -> str:
    lines = ["# What the routed layers cost", "", *_how(), *_step(results["step"]), *_layers(results["layers"])]
    return "\n".join(lines) + "\n"


def _how() -> list[str]:
    return [
        "`python dev.py bench moe` goes on where it stopped; `--anew` starts again. All ways run by turns in one",
        "process; a figure is the median over the rounds of a way's time over the base's in the same round, and in",
        "brackets the middle half of the rounds, then the same of the processor's time, which other programs disturb",
        "less; the machine's load is beside it. Rank 32, 4 experts, 1 per token.",
        "",
    ]


def _step(step: dict) -> list[str]:
    lines = ["## A whole step", ""]
    if not step:
        return [*lines, "Not run.", ""]
    first = next(iter(step.values()))
    lines += [
        f"FLUX Fill with random weights, {first['blocks'][0]} double and {first['blocks'][1]} single blocks, "
        f"{first['tokens']:,} tokens, in the real host; the adapter has",
        "experts and LoRA on every published layer. The host merges the plain part. Peak: what a step takes at most",
        "above what was resident at its start.",
        "",
        "| width, dtype | base | ours | over base | peak, base | peak, ours | experts | read + attach | machine |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for key, row in step.items():
        ours, load = row["ours"], row["load_seconds"]
        lines.append(
            f"| {key.replace('/', ', ')} | {row['base']['median_ms']:.0f} ms | {ours['median_ms']:.0f} ms "
            f"| {_over(ours)} | {_mib(row['peak_mib']['base'])} | {_mib(row['peak_mib']['ours'])} "
            f"| {_mib(row['experts_mib'])} | {load['read']:.2f} + {load['attach']:.2f} s | {_machine(row['machine'])} |"
        )
    return [*lines, ""]


def _layers(layers: dict) -> list[str]:
    lines = ["## The Linears of one double and one single block", ""]
    if not layers:
        return [*lines, "Not run.", ""]
    lines += [
        "Merged and by peft, a plain LoRA stands where ours and the loop have experts. The loop is the published",
        "equation, expert by expert. Peak as above, ours less base's.",
        "",
        "| width | tokens | dtype | base | " + " | ".join(list(WAYS.values())[1:]) + " | peak over base | machine |",
        "|---|---|---|---|" + "---|" * (len(WAYS) + 1),
    ]
    rows = sorted(layers.values(), key=lambda row: (row["dtype"], row["width"], row["tokens"]))
    for row in rows:
        ways = row["ways"]
        cells = [_over(ways[name]) if name in ways else "not run" for name in list(WAYS)[1:]]
        peaks = ways["ours"]["peak_mib"], ways["base"]["peak_mib"]
        more = "not known" if None in peaks else f"{peaks[0] - peaks[1]:+.1f} MiB"
        lines.append(
            f"| {row['width']} | {row['tokens']} | {row['dtype']} | {ways['base']['median_ms']:.1f} ms | "
            f"{' | '.join(cells)} | {more} | {_machine(row['machine'])} |"
        )
    slower = [
        row for row in rows if row["ways"]["ours"]["over_base_percent"] > row["ways"]["loop"]["over_base_percent"]
    ]
    lines += ["", f"Slower than the loop over the experts: in {len(slower)} of {len(rows)} cases.", ""]
    return lines


def _over(row: dict) -> str:
    spread = f"{row['quarter']:+.1f} .. {row['three_quarters']:+.1f}"
    return f"{row['over_base_percent']:+.1f} % ({spread}; work {row['work_over_base_percent']:+.1f})"


def _mib(value: float | None) -> str:
    return "not known" if value is None else f"{value:.0f} MiB"


def _machine(machine: dict) -> str:
    return f"{machine['device']}, {machine['threads']} of {machine['cores']} cores, {machine['load_average']}"
