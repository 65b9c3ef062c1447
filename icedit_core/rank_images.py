"""From pictures, words and a judge to a ranking, a report and a picture of it."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from . import alike, budget, regions
from .contact import sheet
from .jobs import Group, Job, grouped
from .judges import Answer, Chooser, Closing, Judge, JudgeUnreadable, asked
from .judges.asked import Comparing, QuestionSet, Region, Score, Scoring
from .judges.memory import ONE_THREAD, RememberingJudge
from .ranking import METHODS, SCORE, Duel, Ranking, Rating, by_score, chosen, together

WHO = "ICEdit Rank"
WHO_SCORES = "ICEdit VIEScore"
_answers: OrderedDict[tuple[str, ...], Answer] = OrderedDict()


class Ranked(NamedTuple):
    """best: (B, H, W, C); rankings: one per source, indices count that source's candidates; sheet: (1, H, W, 3);
    regions: (B, H, W), 1 where the judge saw the best edits, 0 everywhere if its question set does not ask for that."""

    best: Tensor
    rankings: tuple[Ranking, ...]
    report: str
    sheet: Tensor
    regions: Tensor


async def rank(
    sources: list[Tensor],
    candidates: list[Tensor],
    instruction: str | Sequence[str],
    judge: Judge,
    method: str = "knockout",
    both_orders: bool = True,
    drop_alike: bool = False,
    alike_within: float = alike.SAME,
) -> Ranked:
    """Order the candidates of each source.

    Args:
        sources: pictures (H, W, 3 or 4) in [0, 1].
        candidates: pictures of any sizes; candidate i belongs to source i % len(sources).
        instruction: what the edits were meant to do, for all or one for each source.
        method: one of `ranking.METHODS`, or `ranking.SCORE`; not used by a judge that picks one of all.
        both_orders: ask about each pair twice, swapped; not used by SCORE.
        drop_alike: of candidates that make the same edit (`alike`) the judge sees the first alone.
        alike_within: up to which difference, as a share of the change, two make the same edit.
    Raises:
        ValueError: no candidates, counts that do not fit, an empty instruction, winners of different sizes.
        JudgeUnavailable: from the judge; JudgeUnreadable: not one of its answers about a source could be read.
    """
    words = [instruction] if isinstance(instruction, str) else list(instruction)
    jobs = [Job(sources, candidates, words)]
    return (await rank_jobs(jobs, judge, method, both_orders, drop_alike, alike_within))[0]


async def rank_jobs(
    jobs: Sequence[Job],
    judge: Judge,
    method: str,
    both_orders: bool,
    drop_alike: bool = False,
    alike_within: float = alike.SAME,
) -> list[Ranked]:
    """As `rank`, for several sets of sources; all are checked before the first question is asked."""
    matched = [grouped(job, WHO) for job in jobs]
    same = alike_within if drop_alike else None
    remembering = RememberingJudge(judge, _answers)
    done = []
    try:
        for groups in matched:
            started, questions = time.monotonic(), remembering.asked
            found = [await _ranking(remembering, group, method, both_orders, same) for group in groups]
            done.append((groups, found, remembering.asked - questions, time.monotonic() - started))
    except JudgeUnreadable:
        remembering.forget()
        raise
    finally:
        freed = await judge.close() if remembering.asked and isinstance(judge, Closing) else ""
    results = []
    for groups, found, questions, seconds in done:
        cost = f"{questions} questions to {judge.name}, {seconds:.1f} s of judging" + f"\n{freed}" * bool(freed)
        results.append(await asyncio.to_thread(_result, groups, found, cost))
    return results


def _result(groups: Sequence[Group], found: Sequence[_Found], cost: str) -> Ranked:
    rankings = [ranking for ranking, _ in found]
    best = [group.edits[ranking.best] for group, ranking in zip(groups, rankings, strict=True)]
    masks = [regions.mask(edit, places[ranking.best]) for edit, (ranking, places) in zip(best, found, strict=True)]
    report = _report(rankings, cost)
    return Ranked(_stacked(best), tuple(rankings), report, _picture(groups, found), _stacked(masks))


async def score_jobs(jobs: Sequence[Job], judge: Judge) -> list[Score]:
    """Scores of every edit in the judge's own question set, in the order in which they came; errors as for `rank`,
    answers remembered with it.

    Raises:
        ValueError: the set compares pairs alone.
    """
    remembering = RememberingJudge(judge, _answers)
    questions = _scoring(asked.of(judge), WHO_SCORES)
    work = []
    for job in jobs:
        groups = grouped(job, WHO_SCORES)
        for index, edit in enumerate(job.edits):
            group = groups[index % len(groups)]
            work.append((group.source, edit, group.words))
    try:
        return await together([questions.score(remembering, *one) for one in work])
    finally:
        if remembering.asked and isinstance(judge, Closing):
            await judge.close()


async def score_all(sources: list[Tensor], edits: list[Tensor], instruction: str, judge: Judge) -> list[Score]:
    """VIEScore of every edit; pictures and words as for `rank`."""
    return await score_jobs([Job(sources, edits, [instruction])], judge)


class _Found(NamedTuple):
    """A ranking, and where the judge saw each of its candidates' edits."""

    ranking: Ranking
    regions: Sequence[Sequence[Region]]


async def _ranking(judge: RememberingJudge, group: Group, method: str, both_orders: bool, same: float | None) -> _Found:
    """The candidates of one source, in the way that the judge, its question set and the method ask for.

    `same`: up to which difference the judge sees one of two edits alone; None shows it all.
    """
    source, edits, instruction = group
    stand_ins: Sequence[int] = range(len(edits))
    if same is not None:
        work = asyncio.get_running_loop().run_in_executor(ONE_THREAD, alike.stand_ins, source, edits, same)
        stand_ins = await work
    kept = budget.judged(stand_ins)
    nowhere: list[Sequence[Region]] = [()] * len(edits)
    if isinstance(judge.judge, Chooser):
        index = await judge.judge.choose(source, [edits[i] for i in kept], instruction) if len(kept) > 1 else 0
        return _Found(budget.spread(chosen(len(kept), index, judge.name), stand_ins), nowhere)
    questions = asked.of(judge)
    if method == SCORE or not isinstance(questions, Comparing):
        ranking, seen = await _scored(judge, questions, group, method, kept)
        return _Found(budget.spread(ranking, stand_ins), seen)
    duels: list[Duel] = []

    async def duel(first: int, second: int) -> Duel:
        met = await questions.compare(judge, source, edits, instruction, kept[first], kept[second], both_orders)
        duels.append(replace(met, first=first, second=second))
        return duels[-1]

    ranking = await METHODS[method](len(kept), duel)
    _check_understood(judge, [one.understood for one in duels], ranking)
    return _Found(budget.spread(ranking, stand_ins), nowhere)


async def _scored(judge: Judge, questions: QuestionSet, group: Group, method: str, kept: Sequence[int]) -> _Found:
    """Those `kept` of the candidates, in the order of their scores; the places are for all."""
    scoring = _scoring(questions, WHO)
    seen: list[Sequence[Region]] = [()] * len(group.edits)

    async def rate(place: int) -> Rating:
        index = kept[place]
        found = await scoring.score(judge, group.source, group.edits[index], group.words)
        seen[index] = found.regions
        return Rating(found.overall, found.reason, tuple(f"candidate {index}: {note}" for note in found.notes))

    ranking = await by_score(len(kept), rate)
    _check_understood(judge, [not math.isnan(value) for value in ranking.scores], ranking)
    notes = ranking.notes
    if method != SCORE:
        notes += (f"{questions.name} rates each candidate by itself, so {method} was not used",)
    asked_as = f"{questions.name}, {questions.scale}"
    return _Found(replace(ranking, notes=notes, asked=asked_as, ends=questions.ends), seen)


def _scoring(questions: QuestionSet, who: str) -> Scoring:
    if not isinstance(questions, Scoring):
        raise ValueError(
            f"{who}: the judge is asked as {questions.name}, which compares two edits and gives no scores, but a score "
            "is needed. Use ICEdit Rank with method knockout or round_robin, or another judge."
        )
    return questions


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


def _stacked(pictures: Sequence[Tensor]) -> Tensor:
    shapes = {tuple(picture.shape) for picture in pictures}
    if len(shapes) > 1:
        raise ValueError(
            f"{WHO}: the best edits have the shapes {sorted(shapes)}, but one batch needs one shape. "
            "Rank one source at a time."
        )
    return torch.stack(list(pictures)) if len(pictures) > 1 else pictures[0][None]


def _report(rankings: list[Ranking], cost: str) -> str:
    lines = []
    for number, ranking in enumerate(rankings):
        title = f"Source {number}: " if len(rankings) > 1 else ""
        lines.append(f"{title}best is candidate {ranking.best} ({_way(ranking)})")
        lines += [
            f"{place}. candidate {index}, {_score(ranking, index)}, {ranking.reasons[index] or 'alone'}"
            for place, index in enumerate(ranking.order, 1)
        ]
        lines += [f"note: {note}" for note in ranking.notes]
    return "\n".join([*lines, cost])


def _way(ranking: Ranking) -> str:
    return f"{ranking.method}: {ranking.asked}" if ranking.asked else ranking.method


def _picture(groups: Sequence[Group], found: Sequence[_Found]) -> Tensor:
    pictures, captions = [], []
    for group, (ranking, places) in zip(groups, found, strict=True):
        pictures.append(group.source)
        captions.append(f"source; {_way(ranking)}" if ranking.asked else "source")
        for place, index in enumerate(ranking.order, 1):
            pictures.append(regions.drawn(group.edits[index], places[index]))
            captions.append(f"{place}. candidate {index}, {_score(ranking, index)} {ranking.reasons[index]}")
    return sheet(pictures, captions)


def _score(ranking: Ranking, index: int) -> str:
    value = ranking.scores[index]
    return "no score" if math.isnan(value) else f"score {value:.2f}"
