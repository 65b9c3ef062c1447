"""Paired statistics against scipy's and against known outcomes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from icedit_core.evaluation import paired

ROWS = 600


def outcomes(points: int) -> tuple[dict[str, float], dict[str, float]]:
    """Two runs of 600 rows of 0 and 1; the second has `points` per cent more successes, and other rows that differ."""
    rng = np.random.default_rng(5)
    a = (rng.random(ROWS) < 0.7).astype(float)
    b = a.copy()
    swapped = rng.permutation(ROWS)
    up, down = (swapped[a[swapped] == value] for value in (0, 1))
    gain = ROWS * points // 100
    b[up[: 20 + gain]] = 1
    b[down[:20]] = 0
    return ({str(i): float(x) for i, x in enumerate(run)} for run in (a, b))


@pytest.mark.parametrize("points", [0, 2, 10])
def test_known_differences_have_scipys_paired_interval(points: int):
    a, b = outcomes(points)
    found = paired.interval(paired.differences(a, b))
    assert found.mean == pytest.approx(points / 100) and found.rows == ROWS
    expected = stats.bootstrap(
        (np.array([*a.values()]), np.array([*b.values()])), lambda x, y, axis: (y - x).mean(axis), paired=True,
        vectorized=True, method="percentile", n_resamples=paired.RESAMPLES, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    # Two draws of 9999 resamples: the ends agree to a few of their own standard errors.
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.002)
    assert found.low < points / 100 < found.high and (found.low > 0) == (points == 10)


def test_with_one_stream_of_random_numbers_the_interval_is_scipys():
    a, b = outcomes(2)
    values = np.array(paired.differences(a, b))
    rng = np.random.default_rng(paired.SEED)
    expected = stats.bootstrap((values,), np.mean, method="percentile", rng=rng, batch=500).confidence_interval
    assert paired.interval(values.tolist())[1:3] == (expected.low, expected.high)


def test_wins_count_by_the_metrics_direction():
    a, b = {"1": 1.0, "2": 2.0, "3": 3.0, "x": 9.0}, {"1": 2.0, "2": 2.0, "3": 5.0, "y": 0.0}
    assert paired.wins(a, b) == (2, 1, 0) and paired.wins(a, b).rate == pytest.approx(2.5 / 3)
    assert paired.wins(a, b, higher=False) == (0, 1, 2)


def test_equal_rows_have_no_spread_and_none_is_an_error():
    assert paired.interval([0.5] * 9) == (0.5, 0.5, 0.5, 9) and paired.interval([2.0]) == (2.0, 2.0, 2.0, 1)
    with pytest.raises(ValueError, match="no values"):
        paired.interval([])


def test_strengths_maximise_the_likelihood():
    games = [[0, 30, 45], [20, 0, 33], [5, 17, 0]]
    won = np.array(games) + paired.PRIOR * (1 - np.eye(3))

    def loss(s):
        return -sum(won[i, j] * (s[i] - np.logaddexp(s[i], s[j])) for i in range(3) for j in range(3) if i != j)

    best = optimize.minimize(loss, np.zeros(3), tol=1e-12).x
    assert paired.bradley_terry(games) == pytest.approx(list(best - best.mean()), abs=1e-5)


def test_a_run_that_never_wins_has_a_finite_strength_and_equal_ones_none():
    strong, weak = paired.bradley_terry([[0, 50], [0, 0]])
    assert math.isfinite(strong) and strong == pytest.approx(-weak) and strong > 2
    assert paired.bradley_terry([[0, 5, 5], [5, 0, 5], [5, 5, 0]]) == pytest.approx([0, 0, 0])


def test_one_metric_of_several_runs():
    a, b = outcomes(10)
    found = paired.table(["base", "ours", "again"], [a, b, a], higher=True)
    base, ours, again = found["runs"]
    assert base["against_first"] is None and ours["against_first"]["difference"]["mean"] == pytest.approx(0.1)
    assert again["mean"] == base["mean"] and ours["against_first"]["win_rate"] > 0.5
    assert found["strengths"][1] == max(found["strengths"])
