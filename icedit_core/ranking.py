"""Tournaments: from verdicts on pairs, or from scores, to an order of candidates."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

TIE = 0.5
MARGIN = 0.02  # a preference this close to one half is a tie
SCORE = "score"  # the method that needs no duels


@dataclass(frozen=True)
class Duel:
    """What a judge made of two candidates.

    p_first: how surely `first` is the better one, 0 to 1; one half is a tie.
    reason: in words; notes: what went wrong on the way, e.g. an unreadable answer; understood: at least one answer
    could be read.
    """

    first: int
    second: int
    p_first: float
    reason: str = ""
    notes: tuple[str, ...] = ()
    understood: bool = True

    @property
    def tie(self) -> bool:
        return abs(self.p_first - TIE) < MARGIN


@dataclass(frozen=True)
class Ranking:
    """Candidates of one source, best first.

    order: indices; scores: per candidate (by index, not by place), larger is better: duels won (knockout), log
    strength (round_robin), a question set's overall (score; NaN where there is none) or 1 for the one a person chose
    (choice); reasons: per candidate, from its last duel or its own score; asked: the question set that made scores,
    and their scale; ends: of that scale, None where it has none.
    """

    order: tuple[int, ...]
    scores: tuple[float, ...]
    method: str
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    asked: str = ""
    ends: tuple[float, float] | None = None

    @property
    def best(self) -> int:
        return self.order[0]

    def out_of_ten(self, who: str) -> float:
        """The best candidate's score, brought from its scale to 0 to 10; NaN where there is none.

        Raises:
            ValueError: the scale has no ends, or there were no scores at all.
        """
        if self.method != SCORE:
            raise ValueError(
                f"{who}: good_enough counts from 0 to 10, but this judge picks one of all and gives no scores. "
                "Set good_enough to 0, or use another judge."
            )
        if self.ends is None:
            raise ValueError(
                f"{who}: good_enough counts from 0 to 10, but the scores are of {self.asked or 'no known scale'}. "
                "Set good_enough to 0, or use a judge whose scale has ends."
            )
        low, high = self.ends
        return (self.scores[self.best] - low) / (high - low) * 10


@dataclass(frozen=True)
class Rating:
    """What a judge made of one candidate alone: larger is better, NaN when it could not say."""

    value: float
    reason: str = ""
    notes: tuple[str, ...] = ()


Compare = Callable[[int, int], Awaitable[Duel]]
Rate = Callable[[int], Awaitable[Rating]]


async def knockout(count: int, compare: Compare) -> Ranking:
    """The winner stays: count - 1 duels, one after the other. A tie keeps the one that was there.

    Source: ICEdit, arXiv 2504.20690, section 3.4. Losers are placed by how late they lost.
    """
    champion, losers, wins = 0, [], [0.0] * count
    reasons = [""] * count
    notes: list[str] = []
    for challenger in range(1, count):
        duel = await compare(champion, challenger)
        notes += duel.notes
        first_stays = duel.tie or duel.p_first > TIE
        winner, loser = (champion, challenger) if first_stays else (challenger, champion)
        wins[winner] += 1
        reasons[loser] = reasons[winner] = duel.reason
        losers.append(loser)
        champion = winner
    return Ranking((champion, *reversed(losers)), tuple(wins), "knockout", tuple(reasons), tuple(notes))


async def round_robin(count: int, compare: Compare) -> Ranking:
    """Every pair once, strengths by Bradley-Terry; count * (count - 1) / 2 duels, which may run side by side."""
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    duels = await together([compare(i, j) for i, j in pairs])
    strengths = bradley_terry(count, duels)
    reasons = [""] * count
    for duel in duels:
        reasons[duel.first] = reasons[duel.second] = duel.reason
    notes = tuple(note for duel in duels for note in duel.notes)
    return Ranking(order_of(strengths), tuple(strengths), "round_robin", tuple(reasons), notes)


async def by_score(count: int, rate: Rate) -> Ranking:
    """Each candidate by itself, all side by side; those without a score come last."""
    ratings = await together([rate(index) for index in range(count)])
    scores = tuple(rating.value for rating in ratings)
    notes = tuple(note for rating in ratings for note in rating.notes)
    if all(math.isnan(value) for value in scores):
        notes += ("no candidate has a score: they are left in the order in which they came",)
    return Ranking(order_of(scores), scores, SCORE, tuple(rating.reason for rating in ratings), notes)


def chosen(count: int, index: int, who: str) -> Ranking:
    """One is the best, of the others nothing is known."""
    scores = tuple(float(one == index) for one in range(count))
    reasons = [f"chosen by {who}" if one == index else f"not chosen by {who}" for one in range(count)]
    return Ranking(order_of(scores), scores, "choice", tuple(reasons))


async def together(awaitables: Sequence[Awaitable[T]]) -> list[T]:
    """Like gather, but the first failure cancels the rest at once."""
    tasks = [asyncio.ensure_future(one) for one in awaitables]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


def order_of(scores: Sequence[float]) -> tuple[int, ...]:
    """Indices by falling score, NaN last; equals keep their order."""
    falling = [math.inf if math.isnan(score) else -score for score in scores]
    return tuple(sorted(range(len(scores)), key=falling.__getitem__))


def bradley_terry(count: int, duels: Sequence[Duel], rounds: int = 1000, tolerance: float = 1e-12) -> list[float]:
    """Log strengths with mean 0 from duels; p_first counts as a share of a win.

    Each candidate also draws once against one of strength 1, so that a candidate without a defeat stays finite.
    Iterates w_i <- (wins_i + 1/2) / (sum_j n_ij / (w_i + w_j) + 1 / (w_i + 1)).
    Source: Hunter, MM algorithms for generalized Bradley-Terry models, Annals of Statistics 32 (2004), equation 3.
    Written here because the libraries for it (choix, scipy) are not in the base install.
    """
    wins = [0.5] * count
    for duel in duels:
        wins[duel.first] += duel.p_first
        wins[duel.second] += 1 - duel.p_first
    strength = [1.0] * count
    for _ in range(rounds):
        weight = [1 / (s + 1) for s in strength]
        for duel in duels:
            share = 1 / (strength[duel.first] + strength[duel.second])
            weight[duel.first] += share
            weight[duel.second] += share
        new = [won / one for won, one in zip(wins, weight, strict=True)]
        moved = max(abs(a - b) for a, b in zip(new, strength, strict=True))
        strength = new
        if moved < tolerance:
            break
    logs = [math.log(s) for s in strength]
    return [value - sum(logs) / count for value in logs]


METHODS: dict[str, Callable[[int, Compare], Awaitable[Ranking]]] = {"knockout": knockout, "round_robin": round_robin}
"""Name -> tournament of duels."""
