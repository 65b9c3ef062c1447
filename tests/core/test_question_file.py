"""Question files of users: what is asked, how published judges' answers are read, and regions as a mask."""

import asyncio
import json
import math

import pytest
import torch

from icedit_core import rank_images, regions
from icedit_core.judges import Answer
from icedit_core.judges.asked.question_file import parse
from icedit_core.judges.asked.readers import READERS
from icedit_core.judges.judge import PLAIN
from icedit_core.judges.scores import Region

SOURCE, DARK, BRIGHT = (torch.full((40, 60, 3), value) for value in (0.0, 0.25, 0.75))
PAIR = (
    "name: PVC-Judge\nreader: winner\n--- system\nBe meticulous.\n--- source, first, second\nWho kept <instruction>?\n"
)
SPATIAL = "name: SpatialReward\nreader: spatial_reward\n--- source, edit\nWhere: <instruction>\n--- edit\nHow real?\n"
NUMBERS = "reader: three_numbers\n--- source, edit\nRate: <instruction>\n"


class Scripted:
    name = "scripted"

    def __init__(self, text, answer):
        self.questions, self.answer, self.asked = parse(text, "own.txt"), answer, []

    async def ask(self, pictures, question, most_tokens, manner=PLAIN):
        self.asked.append((pictures, question, most_tokens, manner))
        return Answer(self.answer(pictures))


def ranked(judge, method="knockout", words="x"):
    return asyncio.run(rank_images.rank([SOURCE], [DARK, BRIGHT], words, judge, method))


def prefer_bright(pictures):
    return json.dumps({"winner": "Image A" if pictures[1].mean() > pictures[2].mean() else "Image B"})


def test_a_comparison_is_asked_in_the_users_words_and_both_orders():
    judge = Scripted(PAIR, prefer_bright)
    done = ranked(judge, words="the sky")
    assert done.rankings[0].best == 1 and not done.rankings[0].notes
    (shown, question, _, manner), (swapped, *_) = judge.asked
    assert question == "Who kept the sky?" and manner.system == "Be meticulous." and not manner.draws
    assert torch.equal(shown[0], SOURCE) and torch.equal(shown[1], DARK) and torch.equal(swapped[1], BRIGHT)


def test_a_set_that_compares_gives_no_scores():
    with pytest.raises(ValueError, match="PVC-Judge, which compares two edits and gives no scores"):
        ranked(Scripted(PAIR, prefer_bright), "score")


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ('{"winner": "Image A"}', 1.0), ('Because of the sky.\n```json\n{"winner": "image b"}\n```', 0.0),
        ('{"reason": "same", "winner": "Tie"}', 0.5), ("Image A", None), ('{"winner": "C"}', None),
        ('{"winner": "Image A"} {"winner": "Image B"}', None), ("", None),
    ],
)  # fmt: skip
def test_a_winner_is_one_that_is_named(text, share):
    assert READERS["winner"].read([text], 10) == share


@pytest.mark.parametrize(
    ("text", "mean"),
    [
        ("Brief reasoning: good\nPrompt Compliance: 5\nVisual Naturalness: 4\nPhysical & Detail: 3", 4.0),
        ("**Compliance:** 5\n**Seamlessness:** 4.5\n**Detail:** 1/5", 3.5),
        ("Compliance: 5\nSeamlessness: 4", None), ("One a: 5\nTwo b: 4\nThree c: 3\nFour d: 2", None),
        ("Compliance: 6\nSeamlessness: 4\nDetail: 3", None), ("5 4 3", None),
    ],
)  # fmt: skip
def test_three_numbers_are_three_named_lines_on_the_scale(text, mean):
    found = READERS["three_numbers"].read([text], 5)
    assert (found and found.overall) == mean


def test_a_thinkers_scores_and_better_words():
    read = READERS["thinker"].read
    found = read(["<score>[6, 8]</score><answer>Paint only the hat green.</answer>"], 10)
    assert found.overall == 7 and found.advice == "Paint only the hat green."
    assert read(["<score>6</score>"], 10).overall == 6 and read(["<score>6</score>"], 10).advice == ""
    for text in ("<score>good</score>", "<score>[6, 80]</score>", "6, 8", "<score>6</score><score>8</score>", ""):
        assert read([text], 10) is None, text


def spatial(pictures):
    if len(pictures) == 1:
        return json.dumps({"reasoning": "real", "score": [20, 15]})
    boxes = [{"id": 0, "label": "hat", "bbox_2d": [100, 250, 500, 750]}, {"id": 1, "bbox_2d": [9, 9, 3, 3]}, "no box"]
    return json.dumps({"edit_region": boxes, "reasoning": "<|bbox_0|> green <|global|> kept", "score": [25, 20]})


def test_spatial_reward_is_read_with_its_equation_and_regions():
    judge = Scripted(SPATIAL, spatial)
    done = ranked(judge, "score", "hat")
    overall = ((0.6 * 25 + 0.4 * 20) / 2.5) ** 0.8 * ((20 + 15) / 2 / 2.5) ** 0.2
    assert done.rankings[0].scores == pytest.approx([overall, overall])
    assert "(score: SpatialReward, 0 to 10)" in done.report
    assert sorted(len(shown) for shown, *_ in judge.asked) == [1, 1, 2, 2] and judge.asked[0][2] == 4096
    wanted = torch.zeros(1, 40, 60)
    wanted[:, 10:30, 6:30] = 1
    assert torch.equal(done.regions, wanted)


@pytest.mark.parametrize("score", [[25], [25, 20, 3], [26, 20], "25"])
def test_spatial_reward_fills_nothing_up(score):
    answers = [json.dumps({"score": score}), json.dumps({"score": [20, 20]})]
    assert READERS["spatial_reward"].read(answers, 25) is None


def test_an_unreadable_score_is_said():
    judge = Scripted(
        NUMBERS, lambda pictures: "Lovely!" if pictures[1].mean() > 0.5 else "Compliance: 3\nNaturalness: 3\nDetail: 3"
    )
    done = ranked(judge, "score")
    assert math.isnan(done.rankings[0].scores[1]) and done.rankings[0].scores[0] == 3
    assert "own.txt, 1 to 5" in done.report and "'Lovely!' instead of three lines" in done.report


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has the reader None, but one of winner"), ("reader: poet\n", "reader poet"),
        ("Who wins?\n", "begins with the line 'Who wins\\?'"), ("reader: winner\n", "has blocks for"),
        ("reader: winner\n--- source, edit\nx\n", "'--- source, first, second'"),
        ("reader: winner\n--- source, first, second\n\n", "each with its words"),
        ("reader: three_numbers\nlargest: many\n--- source, edit\nx", "largest many, but a number from 1 to 1000"),
        ("x" * 60_000, "60000 characters"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_in_words(text, words):
    with pytest.raises(ValueError, match=words):
        parse(text, "own.txt")


def test_frames_are_drawn_on_a_copy():
    picture = torch.zeros(128, 128, 4)
    drawn = regions.drawn(picture, [Region(0.25, 0.25, 0.75, 0.5)])
    assert not picture.any() and drawn[32, 32:96, 0].min() == 1 and not drawn[40, 40].any() and not drawn[..., 3].any()
    assert regions.drawn(picture, ()) is picture


def test_a_region_is_at_least_a_pixel():
    assert regions.mask(torch.zeros(8, 8, 3), [Region(0.999, 0.999, 1.0, 1.0)]).sum() == 1
