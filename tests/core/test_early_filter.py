"""The bench's arithmetic against brute force, and its simulated tournaments against the real one."""

import asyncio
import itertools
import random

import numpy as np
import pytest

from devtools.bench import filter_table as table
from icedit_core.ranking import TIE, Duel, knockout


def drawn(scenes=5, seeds=6):
    rng = np.random.default_rng(0)
    return rng.random((scenes, seeds)), rng.random((scenes, seeds)) < 0.5


@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_every_subset_of_seeds_weighs_the_same(count):
    seen, success = drawn()
    expected = np.zeros((len(seen), count))
    subsets = list(itertools.combinations(range(seen.shape[1]), count))
    for scene, chosen in itertools.product(range(len(seen)), subsets):
        ranked = sorted(chosen, key=lambda seed: seen[scene, seed])
        expected[scene] += success[scene, ranked] / len(subsets)
    np.testing.assert_allclose(table.placed(seen, success, count), expected)


def real_places(count, accuracy, leaning, both, runs=4000):
    """The winner's place in the pack's own knockout, with candidate i being the i-th best after a shuffle."""
    draw = random.Random(5)
    first_right, second_right = table.rightness(accuracy, leaning)
    won = np.zeros(count)

    async def run(ranks):
        def answer(first, second):
            better_first = ranks[first] < ranks[second]
            right = draw.random() < (first_right if better_first else second_right)
            return float(better_first == right)

        async def compare(first, second):
            share = answer(first, second)
            return Duel(first, second, (share + 1 - answer(second, first)) / 2 if both else share)

        won[ranks[(await knockout(count, compare)).best]] += 1

    async def runs_of_it():
        for _ in range(runs):
            await run(draw.sample(range(count), count))

    asyncio.run(runs_of_it())
    return won / runs


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("leaning", [0.0, 0.2])
def test_simulated_tournaments_are_the_packs_own(leaning, both):
    simulated = table.knockout_places(5, 0.7, leaning, both, draws=20000)
    assert np.abs(simulated - real_places(5, 0.7, leaning, both)).max() < 0.035  # 4 standard errors


def test_a_perfect_judge_picks_the_best_and_a_coin_picks_blindly():
    assert table.knockout_places(6, 1.0, 0.2, True, draws=1000)[0] == 1
    assert np.abs(table.knockout_places(6, 0.5, 0.0, False) - 1 / 6).max() < 0.01


@pytest.mark.parametrize("leaning", [0.0, 0.2])
@pytest.mark.parametrize("both", [False, True])
def test_of_two_candidates_the_better_one_wins_as_often_as_the_judge_is_right(leaning, both):
    assert table.knockout_places(2, 0.7, leaning, both)[0] == pytest.approx(0.7, abs=0.01)


def test_cells_count_calls_and_model_calls():
    seen, success = drawn(scenes=8, seeds=12)
    cells = {(c["M"], c["m"]): c for c in table.oracle_cells({4: seen}, success, steps=12)}
    assert (cells[6, 4]["nfe"], cells[6, 4]["nfe_published"], cells[1, 4]["nfe_published"]) == (32, 36, 12)
    assert cells[1, 4]["success"] == pytest.approx(success.mean(), abs=1e-4) and cells[1, 4]["gain"] == 0
    assert cells[12, 4]["success"] == np.mean([success[i, seen[i].argmin()] for i in range(8)])
    assert (table.calls(6, False), table.calls(6, True)) == (5, 10)
    assert TIE == 0.5, "a contradiction is a tie"


def test_previews_agree_with_the_end_as_often_as_they_order_seeds_alike():
    success = np.array([[True, False], [True, False], [False, True], [True, True]])
    seen = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 1.0], [1.0, 3.0]])
    assert table.agreement(seen, success) == 0.5
    assert table.agreement(np.where(success, 0.0, 1.0), success) == 1.0
