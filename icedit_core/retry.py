"""Rounds of an edit: a judge says what is missing, a language model words the instruction anew, the best round wins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from . import rank_images
from .contact import sheet
from .jobs import Job
from .judges import Chooser, Closing, Judge, JudgeUnavailable, ask_json, asked, words
from .ranking import SCORE, Ranking

WHO = "ICEdit Retry"
LONGEST_WORDS = 1000  # characters of an instruction that a model wrote
LONGEST_NOTE = 300

MISSING = (
    "The first picture is the original, the second picture is an edit of it. The edit was meant to do this: "
    '"{instruction}".\nSay in one or two sentences what of that is missing or wrong in the edit, and what changed that '
    "the instruction does not name. Name things by what is seen: kind, colour, place."
)
MISSING_SCHEMA = {
    "type": "object",
    "properties": {"missing": {"type": "string", "minLength": 1, "description": "what is missing or wrong"}},
    "required": ["missing"],
}
REWORD = (
    "An image editor was given an instruction and misread it. Write the instruction anew, so that the editor cannot "
    "misread it: the same meaning, nothing added, one or two short sentences in plain English that begin with a verb "
    "(make, add, remove, replace, change ... to ...), every thing named by its kind, colour and place. Do not repeat "
    'words that were tried.\nThe instruction: "{instruction}"\n{tried}'
)
REWORD_SCHEMA = {
    "type": "object",
    "properties": {"instruction": {"type": "string", "minLength": 3, "description": "the instruction in new words"}},
    "required": ["instruction"],
}


@dataclass(frozen=True)
class Round:
    """words: that the editor was given; ranking: of its edits; picture: the best of them, (H, W, C); steps: sampler
    steps; cost: the ranking's last line; missing: what the judge misses in the best edit."""

    words: str
    ranking: Ranking
    picture: Tensor
    steps: int
    cost: str
    missing: str = ""

    @property
    def score(self) -> float:
        return self.ranking.scores[self.ranking.best]


@dataclass(frozen=True)
class Tries:
    """All rounds so far; over: why no further one is run, "" if one may be."""

    rounds: tuple[Round, ...] = ()
    over: str = ""

    @property
    def best(self) -> int:
        """The round with the highest score; the first of equals, so that a further round never makes it worse."""
        return max(range(len(self.rounds)), key=lambda at: (_known(self.rounds[at].score), -at))


def _known(score: float) -> float:
    return -math.inf if math.isnan(score) else score


def check(judge: Judge, good_enough: float) -> None:
    """Refuse a judge whose answers cannot be compared over rounds, before anything is sampled.

    Raises:
        ValueError: it gives no scores, or scores that `good_enough` cannot be compared with.
    """
    questions = asked.of(judge)
    if isinstance(judge, Chooser) or not isinstance(questions, asked.Scoring):
        raise ValueError(
            f"{WHO}: {judge.name} gives no scores, but rounds are compared by scores. "
            "Use a judge that rates each edit by itself, or ICEdit Best Of."
        )
    if good_enough > 0 and questions.ends is None:
        raise ValueError(
            f"{WHO}: good_enough is {good_enough:g} of 10, but {questions.name} has {questions.scale}. "
            "Set good_enough to 0, so that all rounds are run, or use another judge."
        )


async def judged(
    tries: Tries,
    given: str,
    source: Tensor,
    edits: Sequence[Tensor],
    instruction: str,
    judge: Judge,
    good_enough: float,
    steps: int,
) -> Tries:
    """With one more round: its edits scored by what the person's own instruction asked for.

    Args:
        given: the words that made the edits; source, edits: (H, W, C) in [0, 1].
        good_enough: from 0 to 10, as `Ranking.out_of_ten`; 0 ends nothing.
    Raises:
        ValueError: the judge gives no scores; JudgeUnavailable: in the first round. In a later one that is a note, and
        the rounds before it count.
    """
    check(judge, good_enough)
    try:
        job = Job([source], list(edits), [instruction])
        (ranked,) = await rank_images.rank_jobs([job], judge, SCORE, False)
    except JudgeUnavailable as error:
        if not tries.rounds:
            raise
        return replace(tries, over=f"round {len(tries.rounds) + 1} was sampled and not judged: {_short(error)}")
    ranking = ranked.rankings[0]
    cost = ranked.report.splitlines()[-1]
    done = Round(given, ranking, edits[ranking.best], steps, cost)
    enough = good_enough > 0 and ranking.out_of_ten(WHO) >= good_enough
    number = len(tries.rounds) + 1
    return Tries((*tries.rounds, done), f"round {number} is good enough" if enough else "")


async def reworded(tries: Tries, source: Tensor, instruction: str, judge: Judge, writer: Judge) -> tuple[str, Tries]:
    """New words for the next round, and the rounds with what the judge misses in the last one.

    A model that fails here ends the rounds with a note: what was sampled is kept, and its best round is the result.

    Args:
        judge: sees the pictures; one that writes no text leaves that to the writer.
        writer: is asked without pictures.
    """
    if tries.over:
        return "", tries
    *before, last = tries.rounds
    eyes = judge if getattr(judge, "writes", True) else writer
    try:
        question = MISSING.format(instruction=instruction)
        said = await ask_json(eyes, question, MISSING_SCHEMA, [source, last.picture])
        missing = words.line(said["missing"], LONGEST_NOTE)
        rounds = (*before, replace(last, missing=missing))
        question = REWORD.format(instruction=instruction, tried=_tried(rounds))
        new = words.line((await ask_json(writer, question, REWORD_SCHEMA))["instruction"], LONGEST_WORDS)
    except JudgeUnavailable as error:
        return "", replace(tries, over=f"round {len(tries.rounds) + 1} was not run: {_short(error)}")
    finally:
        for one in [judge] if judge is writer else [judge, writer]:
            if isinstance(one, Closing):
                await one.close()
    return new, Tries(rounds)


def _tried(rounds: Sequence[Round]) -> str:
    return "\n".join(
        f'Round {number}: "{words.line(one.words, LONGEST_WORDS)}". Missing then: '
        f"{one.missing or words.line(one.ranking.reasons[one.ranking.best], LONGEST_NOTE)}"
        for number, one in enumerate(rounds, 1)
    )


def _short(error: BaseException) -> str:
    return words.line(error, LONGEST_NOTE)


def report(tries: Tries, most: int) -> str:
    """Every round's words, score and what was missing; the best one first."""
    best = tries.best
    lines = [f"best is round {best + 1} of {len(tries.rounds)} ({tries.rounds[best].ranking.asked})"]
    for number, one in enumerate(tries.rounds, 1):
        lines.append(f"round {number}, {_score(one)}, {one.steps} sampler steps: {one.words}")
        lines += [f"missing: {one.missing}"] * bool(one.missing)
        lines += [f"note: {note}" for note in one.ranking.notes]
        lines.append(one.cost)
    return "\n".join([*lines, tries.over or f"all {most} rounds were run"])


def picture(tries: Tries, source: Tensor) -> Tensor:
    """The source and each round's best edit with its words and score, (1, H, W, 3)."""
    captions = ["source", *(f"round {at}, {_score(one)}: {one.words}" for at, one in enumerate(tries.rounds, 1))]
    captions[tries.best + 1] = "best: " + captions[tries.best + 1]
    return sheet([source, *(one.picture for one in tries.rounds)], captions)


def _score(one: Round) -> str:
    return "no score" if math.isnan(one.score) else f"score {one.score:.2f}"


def seed_of(seed: int, count: int, number: int, seeds: int) -> int:
    """The first seed of round `number`, from 0; seeds follow on, so words that do not help still bring new pictures."""
    return (seed + number * count) % seeds
