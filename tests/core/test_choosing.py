"""Which question set a judge gets, and scales of 0 to 10."""

import math

import pytest

from icedit_core.judges.asked import GENERAL, EditScore, choosing
from icedit_core.judges.asked.choosing import Signs, choose
from icedit_core.judges.asked.question_file import parse
from icedit_core.ranking import SCORE, Ranking

OWN = parse("name: ImgEdit-Judge\nreader: three_numbers\n--- source, edit\nRate: <instruction>\n", "own.txt")
EDITSCORE = Signs("LLM/Qwen2.5-VL LLM/EditScore-7B", numbered=True)
REWARD = Signs("LLM/EditReward", heads=True)


@pytest.mark.parametrize(
    ("questions", "passes", "file", "signs", "chosen"),
    [
        ("auto", 1, None, Signs("LLM/Qwen3-VL"), GENERAL),
        ("auto", 1, None, EDITSCORE, EditScore(1, True)),
        ("auto", 4, None, EDITSCORE, EditScore(4, True)),
        ("EditScore", 4, None, Signs("LLM/own"), EditScore(4)),
        ("VIEScore", 1, None, EDITSCORE, GENERAL),
        ("auto", 1, OWN, EDITSCORE, OWN),
        ("question file", 1, OWN, Signs(), OWN),
    ],
)
def test_the_named_set_or_the_one_of_the_judges_own_files(questions, passes, file, signs, chosen):
    assert choose(questions, passes, file, signs) == chosen


@pytest.mark.parametrize("questions", ["auto", "EditReward"])
def test_heads_that_rate_are_asked_as_editreward(questions):
    assert choose(questions, 1, None, REWARD).name == "EditReward"


@pytest.mark.parametrize(
    ("questions", "passes", "file", "signs", "said"),
    [
        ("question file", 1, None, Signs(), "without one"),
        ("EditScore", 1, OWN, Signs(), "questions is EditScore with a question_file"),
        ("VIEScore", 1, None, REWARD, "has heads that rate and writes no text.*VIEScore"),
        ("auto", 1, OWN, REWARD, "has heads that rate"),
        ("EditReward", 1, None, Signs(), "has no heads that rate"),
        ("auto", 4, None, Signs(), "passes is 4, and the questions are VIEScore"),
        ("auto", 4, OWN, Signs(), "passes is 4, and the questions are question file"),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(questions, passes, file, signs, said):
    with pytest.raises(ValueError, match=f"{said}.*Set questions to auto"):
        choose(questions, passes, file, signs)


def test_every_set_says_its_scale_and_its_ends():
    made = [choose("auto", 1, None, one) for one in (Signs(), EDITSCORE, REWARD)] + [OWN]
    assert [one.ends for one in made] == [(0, 10), (0, 10), None, (1, 5)]
    assert OWN.scale == "1 to 5"
    assert [one.name for one in made[:3]] == [choosing.VIESCORE, choosing.EDITSCORE, choosing.EDITREWARD]


def test_another_scale_is_brought_to_ten_and_one_without_ends_refused():
    assert Ranking((1, 0), (2.0, 4.0), SCORE, asked="ImgEdit-Judge", ends=(1, 5)).out_of_ten("x") == 7.5
    assert math.isnan(Ranking((0,), (math.nan,), SCORE, ends=(0, 10)).out_of_ten("x"))
    with pytest.raises(ValueError, match="Best: good_enough .* scores are of EditReward, no fixed ends.*Set good_enou"):
        Ranking((0,), (1.0,), SCORE, asked="EditReward, no fixed ends").out_of_ten("Best")
    with pytest.raises(ValueError, match="picks one of all"):
        Ranking((0,), (1.0,), "choice").out_of_ten("Best")
