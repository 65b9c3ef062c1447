"""VIEScore: the published words, reading answers of all sorts, the formula, and ranking by it."""

import asyncio
import hashlib
import json
import math

import pytest
import torch

from icedit_core import rank_images
from icedit_core.judges import Answer, JudgeUnavailable
from icedit_core.judges.viescore import REMINDER, read, score
from icedit_core.judges.viescore_questions import PQ_QUESTION, SC_QUESTION
from icedit_core.ranking import Rating, by_score, chosen

SOURCE, DARK, BRIGHT = (torch.full((4, 4, 3), value) for value in (0.0, 0.2, 0.8))


def json_answer(*scores, reason="because"):
    return json.dumps({"score": list(scores), "reasoning": reason})


class Scripted:
    """`sc(edit's brightness)` and `pq(brightness)` give the answers."""

    name = "scripted"

    def __init__(self, sc, pq):
        self.sc, self.pq, self.asked = sc, pq, []

    async def ask(self, pictures, question, most_tokens):
        self.asked.append((len(pictures), question))
        answer = self.sc if len(pictures) == 2 else self.pq
        return Answer(answer(float(pictures[-1].mean())))


def test_the_questions_are_the_published_ones():
    """Digests of the strings that VIEScore's own code builds for task "tie"."""
    digests = [hashlib.sha256(question.encode()).hexdigest() for question in (SC_QUESTION, PQ_QUESTION)]
    assert digests == [
        "8f529562c2f89f8db51a3f7cc4d487686f676909c21010b67b0e65ec78150de5",
        "2473ff2c7406e06545c5c039ceb039ff2604ebacf150868a48f0bf07c9e733b0",
    ]


@pytest.mark.parametrize(
    ("text", "scores", "reason"),
    [
        ('{"score" : [7, 9], "reasoning" : "good hat"}', (7, 9), "good hat"),
        ('Sure!\n```json\n{\n"score": [7.5, 9],\n"reasoning": "two\nlines"\n}\n```', (7.5, 9), "two\nlines"),
        ('||V^=^V||\n{\n"score" : [0, 10],\n"reasoning" : "x"\n}\n||V^=^V||', (0, 10), "x"),
        ('<think>{"score": [1, 1]}</think>{"score": [4, 6], "reasoning": "y"}', (4, 6), "y"),
        ('{"score": [1, 2]} no, wait: {"score": [3, 4], "reasoning": "z"}', (3, 4), "z"),
        ('{"score": 8, "reasoning": "one number"}', (8,), "one number"),
        ('{"score": ["8", "9/10"], "reasoning": "in words"}', (8, 9), "in words"),
        ('{"score": [6, 7], "reasoning": "cut off in the mid', (6, 7), "cut off in the mid"),
        ("{score: [6, 7], reasoning: 'no quotes'}", (6, 7), ""),
        (" [5, 0] ", (5, 0), ""),
    ],
)
def test_answers_are_read(text, scores, reason):
    assert read(Answer(text).text) == (scores, reason)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The edit is good.",
        '{"score": [], "reasoning": "none"}',
        '{"score": [11, 3], "reasoning": "out of range"}',
        '{"score": [NaN, 3], "reasoning": "not a number"}',
        '{"score": [true, 3], "reasoning": "not a number"}',
        '{"score": [-1, 3], "reasoning": "negative"}',
        '{"score": [1, 2, 3], "reasoning": "too many"}',
        '{"score" : [...], "reasoning" : "..."}',
        "<think>it was cut off: [5, 5]",
        "between [3, 4] and [5, 6], I cannot decide",
        '{"a": {"b": [1, 2]}}',
    ],
)
def test_what_is_no_score_is_not_guessed(text):
    assert read(Answer(text).text) is None


def scored(judge, instruction="make it bright"):
    return asyncio.run(score(judge, SOURCE, BRIGHT, instruction))


def test_overall_is_the_root_of_the_lesser_ones():
    judge = Scripted(lambda _: json_answer(8, 4, reason="follows"), lambda _: json_answer(9, 10, reason="natural"))
    result = scored(judge, "a <b> {c} hat")
    assert (result.sc, result.pq, result.overall) == (4, 9, 6)
    assert result.reason == "SC 4: follows; PQ 9: natural" and not result.notes
    (pictures, question), (alone, quality) = judge.asked
    assert (pictures, alone) == (2, 1) and quality == PQ_QUESTION
    assert "\nEditing instruction: a <b> {c} hat\n" in question


def test_an_unreadable_answer_is_asked_once_more_in_other_words():
    answers = iter(["hm", json_answer(3, 5)])
    judge = Scripted(lambda _: next(answers), lambda _: json_answer(5, 5))
    assert scored(judge).sc == 3
    assert [question.endswith(REMINDER) for pictures, question in judge.asked if pictures == 2] == [False, True]


def test_half_a_score_is_none_and_it_is_said():
    judge = Scripted(lambda _: json_answer(5, 5), lambda _: "lovely")
    result = scored(judge)
    assert result.sc == 5 and math.isnan(result.pq) and math.isnan(result.overall)
    assert len(judge.asked) == 3
    assert "scripted answered 'lovely' instead of two numbers from 0 to 10, twice: no PQ" in result.notes[0]


def test_ranking_by_score_asks_twice_for_each_and_remembers():
    judge = Scripted(lambda bright: json_answer(round(bright * 10), 10), lambda _: json_answer(10, 10))
    middle = torch.full((4, 4, 3), 0.5)

    def ranked():
        return asyncio.run(rank_images.rank([SOURCE], [DARK, BRIGHT, middle], "brighten", judge, "score"))

    done = ranked()
    (ranking,) = done.rankings
    assert ranking.order == (1, 2, 0) and ranking.method == "score"
    assert ranking.scores == pytest.approx([math.sqrt(10 * value) for value in (2, 8, 5)])
    assert torch.equal(done.best[0], BRIGHT)
    assert "1. candidate 1, score 8.94, SC 8: because; PQ 10: because" in done.report
    assert len(judge.asked) == 6
    ranked()
    asyncio.run(rank_images.score_all([SOURCE], [DARK, BRIGHT, middle], "brighten", judge))
    assert len(judge.asked) == 6, "remembered, also by the scores alone"


def test_a_candidate_without_a_score_comes_last_and_none_is_lost():
    judge = Scripted(lambda bright: "dark" if bright < 0.5 else json_answer(1, 1), lambda _: json_answer(1, 1))
    done = asyncio.run(rank_images.rank([SOURCE], [DARK, BRIGHT], "x", judge, "score"))
    assert done.rankings[0].order == (1, 0)
    assert "2. candidate 0, no score" in done.report and "note: candidate 0: scripted answered 'dark'" in done.report


def test_without_any_score_the_order_stays_and_it_is_said():
    async def rate(index):
        return Rating(math.nan)

    ranking = asyncio.run(by_score(3, rate))
    assert ranking.order == (0, 1, 2) and "no candidate has a score" in ranking.notes[-1]


def test_a_judge_that_stays_away_ends_the_scoring_at_once():
    cancelled = []

    class Away:
        name = "away"

        async def ask(self, pictures, question, most_tokens):
            if len(pictures) == 2:
                raise JudgeUnavailable("away")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(question)
                raise

    async def both():
        with pytest.raises(JudgeUnavailable, match="away"):
            await score(Away(), SOURCE, DARK, "x")
        await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(both(), 5))
    assert len(cancelled) == 1


@pytest.mark.parametrize("answer", [json_answer(5, 5), JudgeUnavailable("away")])
def test_a_judge_is_told_when_the_scoring_is_over(answer):
    class Closes(Scripted):
        name = f"closes after {answer}"
        closed = 0

        async def close(self):
            self.closed += 1
            return ""

    def reply(_):
        if isinstance(answer, JudgeUnavailable):
            raise answer
        return answer

    judge = Closes(reply, reply)
    try:
        asyncio.run(rank_images.score_all([SOURCE], [DARK, BRIGHT], "x", judge))
    except JudgeUnavailable as error:
        assert error is answer
    assert judge.closed == 1


class Picks:
    name = "Ada"

    def __init__(self):
        self.seen = []

    async def ask(self, pictures, question, most_tokens):
        raise AssertionError("nobody asks a chooser")

    async def choose(self, source, candidates, instruction):
        self.seen.append((source, len(candidates), instruction))
        return 1


def test_a_judge_that_picks_is_asked_once_for_each_source():
    judge = Picks()
    done = asyncio.run(rank_images.rank([SOURCE, DARK], [DARK] * 6, " x ", judge, "knockout"))
    assert [ranking.order for ranking in done.rankings] == [(1, 0, 2)] * 2
    assert "1. candidate 1, score 1.00, chosen by Ada" in done.report
    assert [(float(source.mean()), count, words) for source, count, words in judge.seen] == [
        (0, 3, "x"),
        (pytest.approx(0.2), 3, "x"),
    ]
    asyncio.run(rank_images.rank([SOURCE], [DARK], "x", judge))
    assert len(judge.seen) == 2, "one candidate needs no choice"


def test_a_choice_names_one_best():
    assert chosen(3, 2, "Ada").order == (2, 0, 1)
    assert chosen(3, 2, "Ada").reasons == ("not chosen by Ada", "not chosen by Ada", "chosen by Ada")


@pytest.mark.parametrize(
    ("sources", "edits", "words", "error"),
    [
        ([SOURCE], [], "x", "VIEScore: 0 candidates for 1 sources"),
        ([SOURCE] * 2, [DARK] * 3, "x", "3 candidates for 2 sources"),
        ([SOURCE], [DARK], " ", "VIEScore: the instruction is empty"),
    ],
)
def test_what_cannot_be_scored_is_refused(sources, edits, words, error):
    with pytest.raises(ValueError, match=error):
        asyncio.run(rank_images.score_all(sources, edits, words, Picks()))
