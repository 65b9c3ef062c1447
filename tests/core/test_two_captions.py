"""An instruction as two captions and a mask, by a scripted judge."""

import asyncio
import json

import pytest
import torch

from icedit_core import two_captions
from icedit_core.judges import Answer, JudgeUnreadable

PICTURE = torch.zeros(20, 40, 3)
SAID = {
    "source": "a red ball on grass",
    "target": "a blue ball on grass",
    "type": "local",
    "box": [250, 500, 500, 1000],
}


class Scripted:
    name = "scripted"

    def __init__(self, *answers):
        self.answers, self.asked, self.closed = list(answers), [], 0

    async def ask(self, pictures, question, most_tokens):
        self.asked.append((len(pictures), question))
        answer = self.answers.pop(0)
        return Answer(answer if isinstance(answer, str) else json.dumps(answer))

    async def close(self):
        self.closed += 1
        return ""


def asked(*answers, instruction="make the ball blue"):
    judge = Scripted(*answers)
    return asyncio.run(two_captions.ask(judge, PICTURE, instruction)), judge


def test_captions_and_box_are_read_and_the_judge_is_told_that_it_is_over():
    found, judge = asked(SAID)
    assert found[:3] == ("a red ball on grass", "a blue ball on grass", "local") and judge.closed == 1
    ((pictures, question),) = judge.asked
    assert pictures == 1 and '"make the ball blue"' in question
    mask = two_captions.mask(PICTURE, found)
    assert mask.shape == (20, 40) and mask.sum() == 100 and mask[10:, 10:20].all()
    assert two_captions.pixels(PICTURE, found) == {"x": 10, "y": 10, "width": 10, "height": 10}
    assert "The mask is the box from 25 %, 50 % to 50 %, 100 % of the picture." in two_captions.report(found)


@pytest.mark.parametrize(
    ("kind", "box", "covered", "words"),
    [
        ("background", [250, 500, 500, 1000], 700, "all but the box from 25 %"),
        ("other", [250, 500, 500, 1000], 100, "is the box from 25 %"),
        ("global", [250, 500, 500, 1000], 800, "the whole picture."),
        ("local", [500, 500, 250, 1000], 800, "no box that could be used"),
        ("local", [10, 20, 1900, 1000], 800, "no box that could be used"),
        ("local", [1, 2], 800, "no box that could be used"),
    ],
)
def test_each_type_has_its_mask(kind, box, covered, words):
    found, _ = asked(SAID | {"type": kind, "box": box})
    assert two_captions.mask(PICTURE, found).sum() == covered and words in two_captions.report(found)


def test_an_answer_in_other_form_is_asked_for_once_more():
    found, judge = asked("The ball is red.", {key: SAID[key] for key in ("source", "target", "type")})
    assert len(judge.asked) == 2 and found.region is None
    with pytest.raises(JudgeUnreadable):
        asked("no", "no")


def test_what_gives_no_captions_is_refused_in_words():
    with pytest.raises(ValueError, match="scripted gave the same caption twice"):
        asked(SAID | {"target": SAID["source"]})
    with pytest.raises(ValueError, match="the instruction is empty"):
        asked(instruction="  ")
    silent = Scripted()
    silent.writes = False
    with pytest.raises(ValueError, match="ICEdit Two Captions: scripted writes no text"):
        asyncio.run(two_captions.ask(silent, PICTURE, "x"))
