"""What a choice may cost: when there are candidates enough, and which of them need no question.

After the idea of ADE-CoT (arXiv 2603.00141): spend by difficulty, and look at the edited region. The rules are ours:
further candidates are sampled only as long as no two make the same edit; of those that do, one is judged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from .ranking import Ranking

ALL = "all"
ADAPTIVE = "adaptive"
BUDGETS = (ALL, ADAPTIVE)
FIRST = 2  # candidates without which nothing can agree


def judged(stand_ins: Sequence[int]) -> list[int]:
    """The candidates that a judge is shown: one for each edit."""
    return sorted(set(stand_ins))


def spread(ranking: Ranking, stand_ins: Sequence[int]) -> Ranking:
    """The ranking of all candidates, from that of the ones judged; the others stand right behind their stand-in.

    Args:
        ranking: of `judged(stand_ins)`, which it counts from 0.
        stand_ins: for each candidate the one that makes the same edit, or itself.
    """
    kept = judged(stand_ins)
    if len(kept) == len(stand_ins):
        return ranking
    alike = {one: [index for index, stands in enumerate(stand_ins) if stands == one] for one in kept}
    order = tuple(index for place in ranking.order for index in alike[kept[place]])
    places = [kept.index(one) for one in stand_ins]
    reasons = [
        ranking.reasons[place] if stands == index else f"the same edit as candidate {stands}"
        for index, (stands, place) in enumerate(zip(stand_ins, places, strict=True))
    ]
    dropped = [str(index) for index, one in enumerate(stand_ins) if one != index]
    note = f"not judged, since they make the same edit as another: candidate{'s' * (len(dropped) > 1)} "
    return replace(
        ranking,
        order=order,
        scores=tuple(ranking.scores[place] for place in places),
        reasons=tuple(reasons),
        notes=(*ranking.notes, note + ", ".join(dropped)),
    )


def spent(sampled: int, most: int, steps: int, steps_of_all: int) -> str:
    """The cost in words, for a report.

    Args:
        sampled, most: candidates, and how many there could have been.
        steps, steps_of_all: sampler steps of the whole choice, and what all candidates would have taken.
    """
    saved = math.floor(100 * (1 - steps / steps_of_all)) if steps_of_all else 0
    less = f", {saved} % fewer than the {steps_of_all} of all" if saved > 0 else ""
    return f"Budget: {sampled} of {most} candidates sampled; {steps} sampler steps in all{less}."
