"""From pictures, words and a judge to a ranking, a report and a picture of it."""

from __future__ import annotations

import time
from collections import OrderedDict
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from .contact import sheet
from .judges import Answer, Judge
from .judges.memory import RememberingJudge
from .judges.pair import compare
from .ranking import METHODS, Ranking

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
        method: one of `ranking.METHODS`.
        both_orders: ask about each pair twice, swapped.
    Raises:
        ValueError: no candidates, counts that do not fit, an empty instruction, winners of different sizes.
        JudgeUnavailable: from the judge.
    """
    if not candidates or len(candidates) % len(sources):
        raise ValueError(
            f"{_WHO}: {len(candidates)} candidates for {len(sources)} sources, but the same number, at least one, for "
            "each source is needed. Connect all of them."
        )
    if not instruction.strip():
        raise ValueError(
            f"{_WHO}: the instruction is empty, but the judge needs to know what the edits were meant for."
        )
    remembering, started = RememberingJudge(judge, _answers), time.monotonic()
    groups = [candidates[index :: len(sources)] for index in range(len(sources))]
    rankings = []
    for source, group in zip(sources, groups, strict=True):
        ask = partial(compare, remembering, source, group, instruction.strip(), both_orders=both_orders)
        rankings.append(await METHODS[method](len(group), ask))
    cost = f"{remembering.asked} questions to {judge.name}, {time.monotonic() - started:.1f} s of judging"
    best = [group[ranking.best] for group, ranking in zip(groups, rankings, strict=True)]
    return Ranked(_stacked(best), tuple(rankings), _report(rankings, cost), _picture(sources, groups, rankings))


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
            f"{place}. candidate {index}, score {ranking.scores[index]:.2f}, {ranking.reasons[index] or 'alone'}"
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
            captions.append(f"{place}. candidate {index}, score {ranking.scores[index]:.2f} {ranking.reasons[index]}")
    return sheet(pictures, captions)
