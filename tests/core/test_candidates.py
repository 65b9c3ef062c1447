import pytest

from icedit_core import candidates


@pytest.mark.parametrize(
    ("count", "early", "published"), [(1, 4, 54), (6, 4, 74), (6, 10, 110), (12, 10, 170), (6, 50, 350)]
)
def test_steps_of_the_papers_table_and_what_going_on_saves(count, early, published):
    assert candidates.steps_taken(50, early, count, restart=True) == published
    assert candidates.steps_taken(50, early, count, restart=False) == published - early


def test_seeds_follow_each_other_and_wrap():
    assert candidates.seeds(7, 3) == (7, 8, 9)
    assert candidates.seeds(2**64 - 1, 2) == (2**64 - 1, 0)


@pytest.mark.parametrize(
    ("steps", "early", "count", "words"),
    [(28, 28, 6, "28 early steps of 28, but 1 to 27"), (28, 0, 6, "0 early steps"), (28, 10, 0, "0 candidates")],
)
def test_impossible_plans_are_refused(steps, early, count, words):
    with pytest.raises(ValueError, match=words):
        candidates.check_steps(steps, early, count)
