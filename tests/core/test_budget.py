"""The budget's rules: which edits are the same, what a judge is then asked, and what was spent."""

import asyncio

import pytest
import torch

from icedit_core import alike, budget, rank_images
from icedit_core.judges import Answer
from icedit_core.ranking import Ranking

SIDE = 32


def scene(colour=None, box=(8, 8, 16, 16), noise=0.0, side=SIDE):
    """A grey picture with an edited box of one colour; noise stands for what is painted again."""
    picture = torch.full((side, side, 3), 0.5)
    x, y, w, h = (value * side // SIDE for value in box)
    if colour is not None:
        picture[y : y + h, x : x + w] = torch.tensor(colour)
    return (picture + noise * torch.randn(picture.shape, generator=torch.Generator().manual_seed(side))).clamp(0, 1)


RED, DARK_RED, BLUE = (0.9, 0.1, 0.1), (0.8, 0.15, 0.1), (0.1, 0.1, 0.9)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (scene(RED), scene(RED), True),
        (scene(RED), scene(DARK_RED), True),
        (scene(RED), scene(RED, noise=0.02), True),
        (scene(RED), scene(RED, side=4 * SIDE), True),
        (scene(RED), scene(BLUE), False),
        (scene(RED), scene(), False),
        (scene(RED), scene(RED, box=(2, 2, 16, 16)), False),
        (scene(), scene(noise=0.01), True),
    ],
    ids=["equal", "a shade", "painted again", "larger", "another colour", "nothing", "another place", "nothing twice"],
)
def test_edits_are_compared_inside_what_they_changed(first, second, same):
    assert (alike.stand_ins(scene(), [first, second]) == (0, 0)) is same


def test_the_rest_of_the_picture_does_not_make_edits_alike():
    """A tenth of the side: over the whole picture these two differ by less than a hundredth."""
    small = (2, 2, 3, 3)
    red, blue = scene(RED, small), scene(BLUE, small)
    assert (red - blue).abs().mean() < 0.01
    assert alike.difference(scene(), red, blue) > 2 * alike.SAME


def test_two_that_changed_nothing_are_no_reason_to_stop():
    assert alike.agree(scene(), [scene(RED), scene(BLUE), scene(DARK_RED)])
    assert not alike.agree(scene(), [scene(RED), scene(BLUE)])
    assert not alike.agree(scene(), [scene(), scene(noise=0.01)])
    assert not alike.agree(scene(), [])


def test_how_near_is_the_same_can_be_set():
    edits = [scene(RED), scene(DARK_RED)]
    assert 0.05 < alike.difference(scene(), *edits) < alike.SAME
    assert alike.agree(scene(), edits) and not alike.agree(scene(), edits, 0.05)
    done, asked = ranked(edits, alike_within=0.05)
    assert asked == 2 and "the same edit" not in done.report


def test_an_edit_joins_the_nearest_of_those_that_stand_for_others():
    edits = [scene(RED), scene(BLUE), scene(DARK_RED), scene(BLUE), scene()]
    assert alike.stand_ins(scene(), edits) == (0, 1, 0, 1, 4)


def test_a_ranking_is_spread_over_those_that_were_not_judged():
    ranking = Ranking((1, 0), (0.0, 1.0), "knockout", ("0 against 1", "0 against 1"), ("a note",))
    whole = budget.spread(ranking, (0, 1, 0, 1))
    assert whole.order == (1, 3, 0, 2) and whole.scores == (0, 1, 0, 1) and whole.best == 1
    assert whole.reasons == (
        "0 against 1",
        "0 against 1",
        "the same edit as candidate 0",
        "the same edit as candidate 1",
    )
    assert whole.notes == ("a note", "not judged, since they make the same edit as another: candidates 2, 3")
    assert budget.spread(ranking, (0, 1)) is ranking


class Redder:
    """Prefers the redder edit, or scores an edit by its red; knows how often it was asked."""

    name = "redder"

    def __init__(self):
        self.asked = 0

    async def ask(self, pictures, question, most_tokens):
        self.asked += 1
        red = [float((picture[..., 0] - picture[..., 2]).mean()) for picture in pictures]
        if "score" in question:
            return Answer(f'{{"score": [{10 * (red[-1] > 0)}, {10 * (red[-1] > 0)}], "reasoning": "red"}}')
        return Answer("1" if red[1] > red[2] else "2")


def ranked(edits, method="knockout", **options):
    judge = Redder()
    rank_images._answers.clear()
    done = asyncio.run(rank_images.rank([scene()], edits, "make it red", judge, method, drop_alike=True, **options))
    return done, judge.asked


@pytest.mark.parametrize("method", ["knockout", "round_robin"])
def test_nothing_is_asked_where_all_make_the_same_edit(method):
    done, asked = ranked([scene(RED), scene(DARK_RED)], method)
    assert asked == 0 and "0 questions to redder" in done.report
    assert done.rankings[0].order == (0, 1)
    assert "candidate 1, score 0.00, the same edit as candidate 0" in done.report


@pytest.mark.parametrize(("method", "asks"), [("knockout", 1), ("round_robin", 1), ("score", 4)])
def test_of_edits_that_are_alike_one_is_asked_about(method, asks):
    edits = [scene(BLUE), scene(RED), scene(BLUE), scene(DARK_RED)]
    done, asked = ranked(edits, method, both_orders=False)
    assert asked == asks and done.rankings[0].order == (1, 3, 0, 2)
    assert torch.equal(done.best[0], edits[1])
    assert "candidates 2, 3" in done.report


def test_a_score_is_a_number_that_is_asked_for_even_of_one():
    done, asked = ranked([scene(RED), scene(DARK_RED)], "score")
    assert asked == 2 and done.rankings[0].scores == (10, 10)


def test_the_cost_in_words():
    assert budget.spent(2, 6, 60, 100) == (
        "Budget: 2 of 6 candidates sampled; 60 sampler steps in all, 40 % fewer than the 100 of all."
    )
    assert budget.spent(6, 6, 100, 100) == "Budget: 6 of 6 candidates sampled; 100 sampler steps in all."
