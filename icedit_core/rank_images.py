"""From pictures, words and a judge to a ranking, a report and a picture of it."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .contact import sheet
from .jobs import Group, Job, grouped
from .judges import Answer, Chooser, Closing, Judge, JudgeUnreadable
from .judges.memory import RememberingJudge
from .judges.pair import compare
from .judges.viescore import Score, score
from .ranking import METHODS, SCORE, Duel, Ranking, Rating, by_score, chosen, together

WHO = "ICEdit Rank"
WHO_SCORES = "ICEdit VIEScore"
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
    instruction: str | Sequence[str],
    judge: Judge,
    method: str = "knockout",
    both_orders: bool = True,
) -> Ranked:
    """Order the candidates of each source.

    Args:
        sources: pictures (H, W, 3 or 4) in [0, 1].
        candidates: pictures of any sizes; candidate i belongs to source i % len(sources).
        instruction: what the edits were meant to do, for all or one for each source.
        method: one of `ranking.METHODS`, or `ranking.SCORE`; not used by a judge that picks one of all.
        both_orders: ask about each pair twice, swapped; not used by SCORE.
    Raises:
        ValueError: no candidates, counts that do not fit, an empty instruction, winners of different sizes.
        JudgeUnavailable: from the judge; JudgeUnreadable: not one of its answers about a source could be read.
    """
    words = [instruction] if isinstance(instruction, str) else list(instruction)
    return (await rank_jobs([Job(sources, candidates, words)], judge, method, both_orders))[0]


async def rank_jobs(jobs: Sequence[Job], judge: Judge, method: str, both_orders: bool) -> list[Ranked]:
    """As `rank`, for several sets of sources; all are checked before the first question is asked."""
    matched = [grouped(job, WHO) for job in jobs]
    remembering = RememberingJudge(judge, _answers)
    done = []
    try:
        for job, groups in zip(jobs, matched, strict=True):
            started, asked = time.monotonic(), remembering.asked
            rankings = [
                await _ranking(remembering, group.source, group.edits, group.words, method, both_orders)
                for group in groups
            ]
            seconds = time.monotonic() - started
            done.append((job, groups, rankings, remembering.asked - asked, seconds))
    except JudgeUnreadable:
        remembering.forget()
        raise
    finally:
        freed = await judge.close() if remembering.asked and isinstance(judge, Closing) else ""
    results = []
    for _, groups, rankings, asked, seconds in done:
        cost = f"{asked} questions to {judge.name}, {seconds:.1f} s of judging" + f"\n{freed}" * bool(freed)
        best = [group.edits[ranking.best] for group, ranking in zip(groups, rankings, strict=True)]
        picture = await asyncio.to_thread(_picture, groups, rankings)
        results.append(Ranked(_stacked(best), tuple(rankings), _report(rankings, cost), picture))
    return results


async def score_jobs(jobs: Sequence[Job], judge: Judge) -> list[Score]:
    """VIEScore of every edit, in the order in which they came; errors as for `rank`, answers remembered with it."""
    asked = []
    remembering = RememberingJudge(judge, _answers)
    for job in jobs:
        groups = grouped(job, WHO_SCORES)
        for index, edit in enumerate(job.edits):
            group = groups[index % len(groups)]
            asked.append((group.source, edit, group.words))
    try:
        return await together([score(remembering, *one) for one in asked])
    finally:
        if remembering.asked and isinstance(judge, Closing):
            await judge.close()


async def score_all(sources: list[Tensor], edits: list[Tensor], instruction: str, judge: Judge) -> list[Score]:
    """VIEScore of every edit; pictures and words as for `rank`."""
    return await score_jobs([Job(sources, edits, [instruction])], judge)


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

        ranking = await by_score(len(group), rate)
        _check_understood(judge, [not math.isnan(value) for value in ranking.scores], ranking)
        return ranking
    duels: list[Duel] = []

    async def duel(first: int, second: int) -> Duel:
        duels.append(await compare(judge, source, group, instruction, first, second, both_orders))
        return duels[-1]

    ranking = await METHODS[method](len(group), duel)
    _check_understood(judge, [one.understood for one in duels], ranking)
    return ranking


def _check_understood(judge: Judge, answers: list[bool], ranking: Ranking) -> None:
    """Refuse an order that no answer has made: its first candidate would stand there as the best.

    Raises:
        JudgeUnreadable: there were answers, and none could be read.
    """
    if not answers or any(answers):
        return
    raise JudgeUnreadable(
        f"ICEdit judge: none of the answers could be read, so there is no best candidate: {ranking.notes[0]}. "
        "A model that thinks first needs more thought_tokens, or 0 to switch its thoughts off; one that sees no "
        "pictures, or cannot follow the question, must be replaced. Then queue again: the candidates are kept."
    )


def _stacked(pictures: list[Tensor]) -> Tensor:
    shapes = {tuple(picture.shape) for picture in pictures}
    if len(shapes) > 1:
        raise ValueError(
            f"{WHO}: the best edits have the shapes {sorted(shapes)}, but one batch needs one shape. "
            "Rank one source at a time."
        )
    return torch.stack(pictures) if len(pictures) > 1 else pictures[0][None]


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


def _picture(groups: list[Group], rankings: list[Ranking]) -> Tensor:
    pictures, captions = [], []
    for group, ranking in zip(groups, rankings, strict=True):
        pictures.append(group.source)
        captions.append("source")
        for place, index in enumerate(ranking.order, 1):
            pictures.append(group.edits[index])
            captions.append(f"{place}. candidate {index}, {_score(ranking, index)} {ranking.reasons[index]}")
    return sheet(pictures, captions)


def _score(ranking: Ranking, index: int) -> str:
    value = ranking.scores[index]
    return "no score" if math.isnan(value) else f"score {value:.2f}"
