"""Statistics of runs over the same rows: paired differences with intervals, win rates, Bradley-Terry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

RESAMPLES = 9999
CONFIDENCE = 0.95
SEED = 0
ROUNDS = 10_000  # of Bradley-Terry's iteration at most
CONVERGED = 1e-10
PRIOR = 0.5  # of a win each way between any two runs, so that a run that never wins has a finite strength


class Interval(NamedTuple):
    """A mean with its bootstrap interval; `low` and `high` are the mean itself where all rows are equal."""

    mean: float
    low: float
    high: float
    rows: int


class Wins(NamedTuple):
    """In how many rows the first is better, equal, worse; `rate` counts a tie as a half."""

    better: int
    equal: int
    worse: int

    @property
    def rate(self) -> float:
        return (self.better + self.equal / 2) / max(1, self.better + self.equal + self.worse)


def interval(values: Sequence[float], confidence: float = CONFIDENCE, resamples: int = RESAMPLES) -> Interval:
    """The mean and its percentile bootstrap interval, by scipy with a fixed seed.

    For a paired comparison the values are the rows' differences: rows are drawn, so pairs stay together.

    Raises:
        ValueError: no values.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    import numpy as np
    from scipy.stats import bootstrap

    if not len(values):
        raise ValueError("interval: got no values, but a mean needs at least one.")
    data = np.asarray(values, dtype=np.float64)
    mean = float(data.mean())
    if len(data) == 1 or (data == data[0]).all():
        return Interval(mean, mean, mean, len(data))
    found = bootstrap(
        (data,), np.mean, n_resamples=resamples, confidence_level=confidence, method="percentile", batch=500,
        rng=np.random.default_rng(SEED),
    ).confidence_interval  # fmt: skip
    return Interval(mean, float(found.low), float(found.high), len(data))


def differences(a: Mapping[str, float], b: Mapping[str, float]) -> list[float]:
    """b - a, of the rows that both have, in the order of `a`."""
    return [b[row] - value for row, value in a.items() if row in b]


def wins(a: Mapping[str, float], b: Mapping[str, float], higher: bool = True) -> Wins:
    """How often `b` is better than `a`."""
    signs = [(value > 0) - (value < 0) for value in differences(a, b)]
    better, worse = signs.count(1), signs.count(-1)
    return Wins(better, signs.count(0), worse) if higher else Wins(worse, signs.count(0), better)


def bradley_terry(games: Sequence[Sequence[float]]) -> list[float]:
    """Strengths of several runs from how often each beat each; their logarithms have the mean 0.

    Half a win each way is added between any two runs. P(i beats j) = exp(s_i) / (exp(s_i) + exp(s_j)).

    Args:
        games: (N, N), how often i beat j; a tie is half a win for both.
    Returns:
        (N) natural logarithms; times 400 / ln 10 they are Elo points.
    Source: Hunter, MM algorithms for generalized Bradley-Terry models, Annals of Statistics 32, 2004, equation 3.
    """
    import numpy as np

    won = np.asarray(games, dtype=np.float64) + PRIOR * (1 - np.eye(len(games)))
    np.fill_diagonal(won, 0)
    played = won + won.T
    strength = np.ones(len(won))
    for _ in range(ROUNDS):
        together = strength[:, None] + strength[None, :]
        fresh = won.sum(1) / (played / together).sum(1)
        fresh /= np.exp(np.log(fresh).mean())
        if np.abs(np.log(fresh) - np.log(strength)).max() < CONVERGED:
            strength = fresh
            break
        strength = fresh
    return [float(value) for value in np.log(strength)]


def games_of(runs: Sequence[Mapping[str, float]], higher: bool = True) -> list[list[float]]:
    """How often each run beat each, for `bradley_terry`."""
    found = [[0.0] * len(runs) for _ in runs]
    for i, a in enumerate(runs):
        for j, b in enumerate(runs):
            if i != j:
                told = wins(b, a, higher)
                found[i][j] = told.better + told.equal / 2
    return found


def table(names: Sequence[str], runs: Sequence[Mapping[str, float]], higher: bool) -> dict[str, Any]:
    """All of it for one metric: each run against the first, and strengths if there are several."""
    first = runs[0]
    found: dict[str, Any] = {"higher_is_better": higher, "runs": [], "strengths": None}
    for name, run in zip(names, runs, strict=True):
        own = interval(list(run.values()))._asdict() if run else None
        shared = differences(first, run)
        against = None
        if run is not first and shared:
            told = wins(first, run, higher)
            against = {"difference": interval(shared)._asdict(), "wins": told._asdict(), "win_rate": told.rate}
        found["runs"].append({"name": name, "mean": own, "against_first": against})
    if len(runs) > 2:
        found["strengths"] = bradley_terry(games_of(runs, higher))
    return found
