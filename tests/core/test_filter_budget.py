"""The budget's simulation: judges as good as they are said to be, and strategies that cost what they cost."""

import numpy as np
import pytest

from devtools.bench import filter_budget as bench


def drawn(scenes=40, seeds=12):
    rng = np.random.default_rng(3)
    distances = rng.exponential(1.0, (scenes, seeds))
    return distances, distances < 1


@pytest.mark.parametrize("right", [0.9, 0.62])
def test_a_judge_is_right_in_its_share_of_pairs(right):
    distances, _ = drawn()
    noise = bench.noise_of(distances, right)
    scores = distances + np.random.default_rng(1).normal(0, noise, (400, *distances.shape))
    one, two = np.triu_indices(distances.shape[1], 1)
    agrees = (scores[..., one] < scores[..., two]) == (distances[:, one] < distances[:, two])
    assert agrees.mean() == pytest.approx(right, abs=0.01)
    assert bench.noise_of(distances, 1.0) == 0


def test_a_judge_that_never_finds_one_good_enough_is_a_knockout():
    scores, passes = bench.draw(*drawn(), 0.76, 20)
    never, all_of_them = bench.until_good_enough(scores, passes, 6, -1e9), bench.knockout(scores, passes, 6)
    assert np.array_equal(never.passed, all_of_them.passed) and (never.sampled == 6).all()


def test_the_first_that_is_good_enough_ends_it():
    scores = np.array([[[2.0, 0.4, 0.1], [2.0, 3.0, 1.0]]])
    passes = np.array([[[False, True, False], [False, False, True]]])
    outcome = bench.until_good_enough(scores, passes, 3, 0.5)
    assert outcome.sampled.tolist() == [[2, 3]] and outcome.passed.all() and outcome.looks.tolist() == [[2, 3]]


def test_the_published_costs():
    cells = {cell["strategy"]: cell for cell in bench.cells(*drawn(), 12, 2, draws=5) if cell["p"] == 1}
    paper, own = cells["the paper's filter, 6 candidates"], cells["knockout of 6, the winner goes on"]
    assert (paper["nfe"], paper["nfe_published"], paper["looks"]) == (24, 110, 5)
    assert (own["nfe"], own["nfe_published"], own["over"]) == (22, 100, 0)
    assert cells["blind"]["nfe_published"] == 50 and cells["blind"]["looks"] == 0
