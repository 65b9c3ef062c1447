"""Rounds with new words: when they end, what they ask, which one wins, and that a failed one loses nothing."""

import asyncio
import json

import pytest
import torch

from icedit_core import retry
from icedit_core.judges import Answer, JudgeUnavailable
from icedit_core.judges.asked.edit_reward import EditReward
from icedit_core.judges.asked.question_file import parse

SOURCE = torch.zeros(8, 8, 3)
WORDS = "make it autumn"


class Scripted:
    """Scores a picture by its brightness; says what is missing and new words from lists, or raises what is in them."""

    name = "scripted"

    def __init__(self, missing=(), new=(), fails=False):
        self.missing, self.new, self.fails, self.asked = list(missing), list(new), fails, []

    async def ask(self, pictures, question, most_tokens):
        self.asked.append((len(pictures), question))
        if "JSON Schema" not in question:
            if self.fails:
                raise JudgeUnavailable("out of memory")
            value = round(float(pictures[-1].mean()) * 10, 1)
            return Answer(json.dumps({"score": [value, value], "reasoning": "scripted"}))
        said = self.missing if pictures else self.new
        value = said.pop(0)
        if isinstance(value, Exception):
            raise value
        return Answer(value if value == "no idea" else json.dumps({"missing" if pictures else "instruction": value}))


def edit(value):
    return torch.full((8, 8, 3), value)


def run_round(tries, words, values, judge, good_enough=8.0):
    edits = [edit(value) for value in values]
    return asyncio.run(retry.judged(tries, words, SOURCE, edits, WORDS, judge, good_enough, 4))


def mended(tries, judge, writer=None):
    return asyncio.run(retry.reworded(tries, SOURCE, WORDS, judge, writer or judge))


def test_a_good_round_ends_it_and_nobody_is_asked_for_words():
    judge = Scripted()
    tries = run_round(retry.Tries(), WORDS, [0.3, 0.9], judge)
    assert (
        tries.over == "round 1 is good enough" and tries.rounds[0].score == 9 and tries.rounds[0].picture[0, 0, 0] > 0.8
    )
    asked = len(judge.asked)
    assert mended(tries, judge) == ("", tries) and len(judge.asked) == asked


def test_the_judge_sees_and_the_writer_reads_all_words_so_far():
    judge, writer = Scripted(missing=["the leaves are green", "now all is orange"]), Scripted(new=["A", "paint them B"])
    tries = run_round(retry.Tries(), WORDS, [0.3], judge)
    writer.new[0] = "make the leaves red"
    new, tries = mended(tries, judge, writer)
    assert new == "make the leaves red" and tries.rounds[0].missing == "the leaves are green" and not tries.over
    tries = run_round(tries, new, [0.2], judge)
    assert mended(tries, judge, writer)[0] == "paint them B"
    shown, question = writer.asked[-1]
    assert shown == 0 and {number for number, text in judge.asked if "misses" in text or "missing" in text} == {2}
    for part in (f'The instruction: "{WORDS}"', 'Round 1: "make it autumn"', "leaves are green", "now all is orange"):
        assert part in question
    assert WORDS in judge.asked[-1][1], "scored by the person's words, not by the new ones"


@pytest.mark.parametrize("scores", [[0.5, 0.2, 0.4], [0.2, 0.6, 0.3], [0.4, 0.4, 0.4]])
def test_the_best_of_all_rounds_is_never_worse_than_the_first(scores):
    judge, tries = Scripted(["x"] * 3, ["new words"] * 3), retry.Tries()
    for value in scores:
        tries = run_round(tries, WORDS, [value], judge)
        _, tries = mended(tries, judge)
    assert tries.best == scores.index(max(scores)) and tries.rounds[tries.best].score >= tries.rounds[0].score


FAILURES = {
    "judge's words": ({"missing": [JudgeUnavailable("cannot be reached")]}, "cannot be reached"),
    "writer": ({"missing": ["x"], "new": ["no idea", "no idea"]}, "a JSON object of the form asked for"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_rewording_keeps_what_was_sampled(name):
    script, said = FAILURES[name]
    judge = Scripted(**script)
    tries = run_round(retry.Tries(), WORDS, [0.3], judge)
    new, after = mended(tries, judge)
    assert new == "" and after.rounds == tries.rounds and "round 2 was not run: " in after.over and said in after.over
    assert "round 2 was not run" in retry.report(after, 3)


def test_a_failed_scoring_ends_later_rounds_and_is_an_error_in_the_first():
    tries = run_round(retry.Tries(), WORDS, [0.31], Scripted())
    after = run_round(tries, "new", [0.92], Scripted(fails=True))
    assert after.rounds == tries.rounds and "round 2 was sampled and not judged: out of memory" in after.over
    with pytest.raises(JudgeUnavailable, match="out of memory"):
        run_round(retry.Tries(), WORDS, [0.93], Scripted(fails=True))


def test_judges_without_scores_or_ends_are_refused_before_sampling():
    judge = Scripted()
    judge.questions = EditReward()
    with pytest.raises(ValueError, match="good_enough is 8 of 10, but EditReward has no fixed ends.*to 0"):
        retry.check(judge, 8.0)
    retry.check(judge, 0.0)
    judge.questions = parse("name: PVC\nreader: winner\n--- source, first, second\nWho?\n", "own")
    with pytest.raises(ValueError, match="scripted gives no scores"):
        retry.check(judge, 0.0)


def test_a_judge_that_writes_nothing_leaves_the_seeing_to_the_writer():
    judge, writer = Scripted(), Scripted(missing=["the sky"], new=["make the sky red"])
    tries = run_round(retry.Tries(), WORDS, [0.3], judge)
    judge.writes, judge.asked = False, []
    assert mended(tries, judge, writer)[0] == "make the sky red" and not judge.asked


def test_report_and_sheet_hold_every_rounds_words_and_score():
    judge = Scripted(["leaves"], ["make the leaves red"])
    tries = run_round(retry.Tries(), WORDS, [0.3], judge)
    new, tries = mended(tries, judge)
    tries = run_round(tries, new, [0.85], judge)
    text = retry.report(tries, 3)
    assert text.startswith(
        "best is round 2 of 2 (VIEScore, 0 to 10)\nround 1, score 3.00, 4 sampler steps: make it autumn\n"
    )
    assert "missing: leaves" in text and "round 2, score 8.50, 4 sampler steps: make the leaves red" in text
    assert text.endswith("round 2 is good enough") and "questions to scripted" in text
    assert retry.picture(tries, SOURCE).shape[2] > 3 * 256


def test_seeds_follow_on():
    assert [retry.seed_of(2**64 - 2, 2, number, 2**64) for number in range(3)] == [2**64 - 2, 0, 2]
