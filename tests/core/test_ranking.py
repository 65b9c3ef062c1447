import asyncio
import itertools
import math

import pytest

from icedit_core.ranking import METHODS, Duel, bradley_terry, knockout, order_of, round_robin

QUALITY = (0.2, 0.9, 0.1, 0.5, 0.7)


def judged(quality, asked=None):
    async def compare(first, second):
        if asked is not None:
            asked.append((first, second))
        better = (quality[first] > quality[second]) + 0.5 * (quality[first] == quality[second])
        return Duel(first, second, float(better), f"{first}:{second}")

    return compare


@pytest.mark.parametrize("method", METHODS)
def test_a_truthful_judge_gets_the_best_for_every_order_of_the_candidates(method):
    for quality in itertools.permutations((0.1, 0.4, 0.6, 0.9)):
        ranking = asyncio.run(METHODS[method](4, judged(quality)))
        assert quality[ranking.best] == 0.9
        assert sorted(ranking.order) == [0, 1, 2, 3]


def test_knockout_asks_one_less_than_there_are_and_keeps_the_winner():
    asked = []
    ranking = asyncio.run(knockout(5, judged(QUALITY, asked)))
    assert asked == [(0, 1), (1, 2), (1, 3), (1, 4)]
    assert ranking.order == (1, 4, 3, 2, 0) and ranking.scores == (0, 4, 0, 0, 0)
    assert ranking.reasons[1] == "1:4" and ranking.reasons[0] == "0:1"


def test_round_robin_asks_every_pair_and_orders_all():
    asked = []
    ranking = asyncio.run(round_robin(5, judged(QUALITY, asked)))
    assert sorted(asked) == list(itertools.combinations(range(5), 2))
    assert ranking.order == order_of(QUALITY) == (1, 4, 3, 0, 2)


@pytest.mark.parametrize("method", METHODS)
def test_ties_keep_the_first_and_one_candidate_needs_no_judge(method):
    assert asyncio.run(METHODS[method](4, judged((1, 1, 1, 1)))).order[0] == 0
    asked = []
    assert asyncio.run(METHODS[method](1, judged((1,), asked))).order == (0,) and not asked


def test_bradley_terry_finds_the_strengths_that_made_the_duels():
    """With many duels at the model's own probabilities the prior draw hardly counts."""
    truth = [0.8, -0.1, -0.7]
    duels = [
        Duel(i, j, 1 / (1 + math.exp(truth[j] - truth[i])))
        for i, j in itertools.combinations(range(3), 2)
        for _ in range(4000)
    ]
    assert bradley_terry(3, duels) == pytest.approx(truth, abs=2e-3)


def test_bradley_terry_stays_finite_without_a_defeat_and_is_level_without_duels():
    assert all(math.isfinite(value) for value in bradley_terry(2, [Duel(0, 1, 1.0)] * 5))
    assert bradley_terry(3, []) == pytest.approx([0, 0, 0])


def test_a_failing_judge_ends_a_round_robin_at_once():
    cancelled = []

    async def compare(first, second):
        if (first, second) == (0, 1):
            raise ValueError("away")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append((first, second))
            raise

    with pytest.raises(ValueError, match="away"):
        asyncio.run(asyncio.wait_for(round_robin(3, compare), 5))
    assert sorted(cancelled) == [(0, 2), (1, 2)]
