"""From pictures, words and a judge to a ranking, a report and a picture of it."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from .contact import sheet
from .judges import Answer, Chooser, Closing, Judge
from .judges.memory import RememberingJudge
from .judges.pair import compare
from .judges.viescore import Score, score
from .ranking import METHODS, SCORE, Ranking, Rating, by_score, chosen, together

_WHO = "ICEdit Rank"
_answers: OrderedDict[tuple[str, ...], Answer] = OrderedDict()


class Ranked(NamedTuple):
    """best: (B, H, W, C); rankings: one per source, indices count that source's candidates; sheet: (1, H, W, 3)."""

    best: Tensor
    rankings: tuple[Ranking, ...]
    report: str
    sheet: Tensor


async def rank(
    sources: list[Tensor],
    candidates: list[Tensor],
    instruction: str,
    judge: Judge,
    method: str = "knockout",
    both_orders: bool = True,
) -> Ranked:
    """Order the candidates of each source.

    Args:
        sources: pictures (H, W, 3 or 4) in [0, 1].
        candidates: pictures of any sizes; candidate i belongs to source i % len(sources).
        instruction: what the edits were meant to do.
        method: one of `ranking.METHODS`, or `ranking.SCORE`; not used by a judge that picks one of all.
        both_orders: ask about each pair twice, swapped; not used by SCORE.
    Raises:
        ValueError: no candidates, counts that do not fit, an empty instruction, winners of different sizes.
        JudgeUnavailable: from the judge.
    """
    groups = _groups(sources, candidates, instruction, _WHO)
    remembering, started = RememberingJudge(judge, _answers), time.monotonic()
    freed = ""
    try:
        rankings = [
            await _ranking(remembering, source, group, instruction.strip(), method, both_orders)
            for source, group in zip(sources, groups, strict=True)
        ]
    finally:
        if remembering.asked and isinstance(judge, Closing):
            freed = await judge.close()
    cost = f"{remembering.asked} questions to {judge.name}, {time.monotonic() - started:.1f} s of judging"
    cost += f"\n{freed}" * bool(freed)
    best = [group[ranking.best] for group, ranking in zip(groups, rankings, strict=True)]
    return Ranked(_stacked(best), tuple(rankings), _report(rankings, cost), _picture(sources, groups, rankings))


async def score_all(sources: list[Tensor], edits: list[Tensor], instruction: str, judge: Judge) -> list[Score]:
    """VIEScore of every edit; pictures, words and errors as for `rank`, answers remembered with it."""
    _groups(sources, edits, instruction, "ICEdit VIEScore")
    remembering = RememberingJudge(judge, _answers)
    asked = [
        score(remembering, sources[index % len(sources)], edit, instruction.strip()) for index, edit in enumerate(edits)
    ]
    try:
        return await together(asked)
    finally:
        if remembering.asked and isinstance(judge, Closing):
            await judge.close()


def _groups(sources: list[Tensor], edits: list[Tensor], instruction: str, who: str) -> list[list[Tensor]]:
    """The edits of each source."""
    if not edits or not sources or len(edits) % len(sources):
        raise ValueError(
            f"{who}: {len(edits)} candidates for {len(sources)} sources, but the same number, at least one, for "
            "each source is needed. Connect all of them."
        )
    if not instruction.strip():
        raise ValueError(f"{who}: the instruction is empty, but the judge needs to know what the edits were meant for.")
    return [edits[index :: len(sources)] for index in range(len(sources))]


async def _ranking(
    judge: RememberingJudge, source: Tensor, group: list[Tensor], instruction: str, method: str, both_orders: bool
) -> Ranking:
    """The candidates of one source, in the way that the judge and the method ask for."""
    if isinstance(judge.judge, Chooser):
        index = await judge.judge.choose(source, group, instruction) if len(group) > 1 else 0
        return chosen(len(group), index, judge.name)
    if method == SCORE:

        async def rate(index: int) -> Rating:
            found = await score(judge, source, group[index], instruction)
            return Rating(found.overall, found.reason, tuple(f"candidate {index}: {note}" for note in found.notes))

        return await by_score(len(group), rate)
    return await METHODS[method](
        len(group), partial(compare, judge, source, group, instruction, both_orders=both_orders)
    )


def _stacked(pictures: list[Tensor]) -> Tensor:
    shapes = {tuple(picture.shape) for picture in pictures}
    if len(shapes) > 1:
        raise ValueError(
            f"{_WHO}: the best edits have the shapes {sorted(shapes)}, but one batch needs one shape. "
            "Rank one source at a time."
        )
    return torch.stack(pictures)


def _report(rankings: list[Ranking], cost: str) -> str:
    lines = []
    for number, ranking in enumerate(rankings):
        title = f"Source {number}: " if len(rankings) > 1 else ""
        lines.append(f"{title}best is candidate {ranking.best} ({ranking.method})")
        lines += [
            f"{place}. candidate {index}, {_score(ranking, index)}, {ranking.reasons[index] or 'alone'}"
            for place, index in enumerate(ranking.order, 1)
        ]
        lines += [f"note: {note}" for note in ranking.notes]
    return "\n".join([*lines, cost])


def _picture(sources: list[Tensor], groups: list[list[Tensor]], rankings: list[Ranking]) -> Tensor:
    pictures, captions = [], []
    for source, group, ranking in zip(sources, groups, rankings, strict=True):
        pictures.append(source)
        captions.append("source")
        for place, index in enumerate(ranking.order, 1):
            pictures.append(group[index])
            captions.append(f"{place}. candidate {index}, {_score(ranking, index)} {ranking.reasons[index]}")
    return sheet(pictures, captions)


def _score(ranking: Ranking, index: int) -> str:
    value = ranking.scores[index]
    return "no score" if math.isnan(value) else f"score {value:.2f}"
