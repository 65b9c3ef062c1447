"""The budget's simulation: judges as good as they are said to be, and strategies that cost what they cost."""

import numpy as np
import pytest
import torch

from devtools.bench import filter_budget as bench
from icedit_core import alike, budget


def drawn(scenes=40, seeds=12) -> bench.Table:
    rng = np.random.default_rng(3)
    distances = rng.exponential(1.0, (scenes, seeds))
    apart = rng.random((scenes, seeds, seeds))
    return bench.Table(distances, distances < 1, apart + apart.transpose(0, 2, 1), rng.random((scenes, seeds)) < 0.9)


@pytest.mark.parametrize("right", [0.9, 0.62])
def test_a_judge_is_right_in_its_share_of_pairs(right):
    distances = drawn().distances
    noise = bench.noise_of(distances, right)
    scores = distances + np.random.default_rng(1).normal(0, noise, (400, *distances.shape))
    one, two = np.triu_indices(distances.shape[1], 1)
    agrees = (scores[..., one] < scores[..., two]) == (distances[:, one] < distances[:, two])
    assert agrees.mean() == pytest.approx(right, abs=0.01)
    assert bench.noise_of(distances, 1.0) == 0


def test_a_judge_that_never_finds_one_good_enough_is_a_knockout():
    scores, passes, _ = bench.draw(*drawn()[:2], 0.76, 20)
    never, all_of_them = bench.until_good_enough(scores, passes, 6, -1e9), bench.knockout(scores, passes, 6)
    assert np.array_equal(never.passed, all_of_them.passed) and (never.sampled == 6).all()


def test_the_first_that_is_good_enough_ends_it():
    scores = np.array([[[2.0, 0.4, 0.1], [2.0, 3.0, 1.0]]])
    passes = np.array([[[False, True, False], [False, False, True]]])
    outcome = bench.until_good_enough(scores, passes, 3, 0.5)
    assert outcome.sampled.tolist() == [[2, 3]] and outcome.passed.all() and outcome.looks.tolist() == [[2, 3]]


def test_the_published_costs():
    cells = {cell["strategy"]: cell for cell in bench.cells(drawn(), 50, 10, draws=5) if cell["p"] == 1}
    paper, own = cells["the paper's filter, 6 candidates"], cells["knockout of 6, the winner goes on"]
    assert (paper["nfe"], paper["looks"]) == (110, 5)
    assert (own["nfe"], own["over"]) == (100, 0)
    assert cells["blind"]["nfe"] == 50 and cells["blind"]["looks"] == 0


def test_agreement_is_the_packs_own():
    for seed in range(20):
        torch.manual_seed(seed)
        source, kinds = torch.rand(8, 8, 3), torch.rand(4, 8, 8, 3)
        pictures = [source if kind == 3 else kinds[kind] for kind in torch.randint(4, (6,)).tolist()]
        apart = np.array([[alike.difference(source, one, two) for one in pictures] for two in pictures])
        changes = np.array([alike.changes(source, one) for one in pictures])
        order = np.random.default_rng(seed).permutation(6)
        come = [pictures[i] for i in order]
        agreed = bench.agreement(apart[None], changes[None], order[None, None])
        sampled = next((count for count in range(2, 6) if alike.agree(source, come[:count])), 6)
        assert agreed.sampled.tolist() == [[sampled]]
        judged = budget.judged(alike.stand_ins(source, come[:sampled]))
        assert agreed.judged[0, 0].nonzero()[0].tolist() == judged


def test_of_candidates_that_agree_one_is_judged_and_the_best_of_the_different_ones_wins():
    agreed = bench.Agreed(np.array([[3]]), np.array([[[True, False, True, False]]]))
    outcome = bench.adaptive(np.array([[[2.0, 0.1, 1.0, 0.0]]]), np.array([[[False, False, True, False]]]), agreed)
    assert (outcome.passed.tolist(), outcome.sampled.tolist(), outcome.looks.tolist()) == ([[True]], [[3]], [[1]])
