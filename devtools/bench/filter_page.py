"""The early filter's figures in Markdown, the paper's beside them."""

from __future__ import annotations

from workshop.report import table

from .filter_table import ACCURACIES, COUNTS, EARLY, LEANINGS, calls

SHOWN_EARLY = EARLY[-1]
PAPER = (
    # judge, M, m, NFE, GPT score on Emu; n = 50. Source: ICEdit, arXiv 2504.20690, the early filter's table
    ("none", 1, None, 50, 0.68),
    ("VLM", 6, 4, 74, 0.72),
    ("VLM", 6, 10, 110, 0.78),
    ("VLM", 12, 10, 170, 0.79),
    ("VLM", 6, 50, 350, 0.80),
    ("CLIP", 6, 50, 350, 0.65),
)
PAPER_STEPS = 50


def page(result: dict) -> str:
    """All tables with the words around them."""
    parts = [_head(result), _oracle(result), _paper(), _judges(result), _orders(result), _foot(result)]
    return "\n\n".join(parts) + "\n"


def _head(result: dict) -> str:
    tasks = f"famil{'ies' if len(result['tasks']) > 1 else 'y'} {' and '.join(result['tasks'])}"
    return f"""# The early filter on the demo model

{result["scenes"]} unseen scenes of the {tasks}, which the demo model fails at most (elsewhere there is little to
choose), {result["seeds"]} seeds each, n = {result["steps"]} steps of {result["sampler"]} on the published pipeline's
sigmas, no noise_mask, {result["panel"]} px panels. All seeds succeed in {result["scenes_always"]:.1%} of the scenes,
none in {result["scenes_never"]:.1%}; only in the other {result["scenes_sometimes"]:.1%} can a choice change anything.

M candidates take m steps each, a judge picks one by its preview (the x0 estimate of step m, decoded), it alone goes on:
NFE = n + (M - 1) m; the paper starts the winner again, n + M m. Success is the demo scenes' check on the finished right
panel, nothing pasted back. Every number of candidates is averaged over all its subsets of the {result["seeds"]} seeds;
the error is the standard error over scenes.

![Success against model calls, and against the judge's accuracy](early_filter.png)"""


def _oracle(result: dict) -> str:
    cells = {(cell["M"], cell["m"]): cell for cell in result["oracle"]}
    lines = [
        "## A judge that is never wrong",
        "",
        "It prefers the preview that is nearer to passing the check: its worst measure as a share of that measure's "
        "limit.",
        "",
    ]
    lines += table(
        ["M", *(word for m in EARLY for word in (f"m = {m}", "NFE"))],
        [[count, *(x for m in EARLY for x in _share_and_calls(cells[count, m]))] for count in COUNTS],
    )
    told = ", ".join(f"{share:.0%} after {m}" for m, share in result["agreement"].items())
    lines += [
        "",
        f"Of two seeds, one of which fails in the end, the preview already tells which: {told} steps (50 % is chance).",
        f"No filter can do better than {1 - result['scenes_never']:.1%}: the scenes in which a seed succeeds.",
    ]
    return "\n".join(lines)


def _paper() -> str:
    lines = [
        "## The paper's table",
        "",
        "FLUX.1 Fill with the ICEdit LoRA, n = 50, on Emu; its score is GPT-4o's, not a check, and its judge sees real "
        "pictures. Taken from arXiv 2504.20690, not measured here; the last column is what going on from the winner's "
        "state would cost.",
        "",
    ]
    rows = []
    for judge, count, early, nfe, score in PAPER:
        going_on = PAPER_STEPS + (count - 1) * (early or 0)
        share = f"{early / PAPER_STEPS:.0%}" if early else "-"
        rows.append([judge, count, early or "-", share, nfe, f"{score:.2f}", going_on])
    return "\n".join(lines + table(["judge", "M", "m", "m / n", "NFE", "score", "NFE, going on"], rows))


def _judges(result: dict) -> str:
    cells = _by_key(result)
    counts = [count for count in COUNTS if count > 1]
    lines = [
        "## Judges that err",
        "",
        f"Knockout at m = {SHOWN_EARLY}, asked once: success, and in brackets the gain over one blind seed in points. "
        "p is how often the judge prefers the better of two previews, whichever they are; every answer errs "
        "independently. p = 1 is the judge above. On the real edits of EditScore's EditReward-Bench, untuned "
        "Qwen2.5-VL 7B, 32B and 72B are right in 0.43, 0.56 and 0.62 of the pairs, EditScore on Qwen3-VL-4B, asked "
        "once in its own words, in 0.68, on Qwen3-VL-8B, asked four times, in 0.76; 0.9 is what a better one would "
        "bring.",
        "",
    ]
    rows = [[p, *(_gain(cells[p, 0.0, False, count, SHOWN_EARLY]) for count in counts)] for p in ACCURACIES]
    exact = {(cell["M"], cell["m"]): cell for cell in result["oracle"]}
    rows.append([1, *(_gain(exact[count, SHOWN_EARLY]) for count in counts)])
    return "\n".join(lines + table(["p", *(f"M = {c}, calls: {calls(c, False)}" for c in counts)], rows))


def _orders(result: dict) -> str:
    cells, shown = _by_key(result), (6, 12)
    second, none, first = LEANINGS
    kinds = ((second, False), (none, False), (first, False), (none, True), (first, True))
    lines = [
        "## Once, or in both orders",
        "",
        f"The same (m = {SHOWN_EARLY}), also for judges that lean: to the first picture shown, right 20 points more "
        "often when the better one comes first and as much less often when it comes second (never more than certain), "
        "or to the second. In a knockout the champion is shown first. Asked in both orders, a contradiction is a tie "
        "and keeps the champion; that doubles the calls, and to which side the judge leans no longer matters.",
    ]
    for count in shown:
        once, both = f"once, {calls(count, False)} calls", f"both, {calls(count, True)} calls"
        head = [f"p (M = {count})", f"{once}: leans to the second", f"{once}: does not lean"]
        head += [f"{once}: leans to the first", f"{both}: does not lean", f"{both}: leans"]
        lines += [""]
        lines += table(
            head,
            (
                [p, *(f"{cells[p, leaning, asked, count, SHOWN_EARLY]['success']:.1%}" for leaning, asked in kinds)]
                for p in ACCURACIES
            ),
        )
    return "\n".join(lines)


def _foot(result: dict) -> str:
    return f"""Simulated judges: 200,000 knockouts each, fixed seed. All cells, for every m, and the table of scenes and
seeds are in `early_filter.json`; `python dev.py bench early-filter --figures-only` computes them again.
{result["machine"]}. Batched sampling differs from one seed at a time by rounding alone. What this cannot show: how a
vision-language model judges blurred previews of photographs, and whether its errors are independent."""


def _by_key(result: dict) -> dict:
    return {(cell["p"], cell["leaning"], cell["both_orders"], cell["M"], cell["m"]): cell for cell in result["judges"]}


def _share_and_calls(cell: dict) -> tuple[str, int]:
    return f"{cell['success']:.1%} +- {cell['standard_error']:.1%}", cell["nfe"]


def _gain(cell: dict) -> str:
    return f"{cell['success']:.1%} ({100 * cell['gain']:+.1f})"
