"""EditScore: a Qwen-VL tuned for judging edits, asked in its own words, several times if wanted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ...ranking import together
from .. import words
from ..judge import Answer, Judge, Manner
from ..viescore import LONGEST_REASON
from .base import Score
from .editscore_words import PQ_QUESTION, RANGE, SC_QUESTION
from .reasons_first import Numbers, read

MOST_TOKENS = 512
FIRST_SEED = 42
_TO_TEN = RANGE / 10


@dataclass(frozen=True)
class EditScore:
    """See `base.QuestionSet`.

    passes: how often each question is asked, with seeds that follow on; published results are of 1 and of 4.
    numbered: "<img1>: " and "<img2>: " stand before the pictures, as the package does for Qwen2.5-VL, not Qwen3-VL.

    Source: EditScore, arXiv 2509.23909; `EditScore.evaluate` with reduction "average_last" and its defaults for the
    transformers backends. Where that draws a random number, this says "unreadable"; other passes still count.
    """

    passes: int = 1
    numbered: bool = False
    scale: str = "0 to 10"
    ends: tuple[float, float] = (0.0, 10.0)

    @property
    def name(self) -> str:
        return "EditScore" + f", mean of {self.passes} passes" * (self.passes > 1)

    def manner(self, number: int) -> Manner:
        """How pass `number`, from 0, is sampled."""
        return Manner(temperature=0.7, top_p=0.9, top_k=20, seed=FIRST_SEED + number, numbered=self.numbered)

    async def score(self, judge: Judge, source: Tensor, edit: Tensor, instruction: str) -> Score:
        """The mean over passes of sqrt(min(SC) * min(PQ)), each brought from 0-25 to 0-10."""
        passes = await together([self._pass(judge, source, edit, instruction, one) for one in range(self.passes)])
        whole = [(sc, pq) for sc, pq, _ in passes if sc and pq]
        notes = tuple(note for *_, found in passes for note in found)
        if not whole:
            return Score(math.nan, math.nan, math.nan, "unreadable", notes)
        if len(whole) < self.passes:
            notes += (f"{self.passes - len(whole)} of {self.passes} passes unreadable: the mean is of the others",)
        lesser = [(min(sc.values) / _TO_TEN, min(pq.values) / _TO_TEN) for sc, pq in whole]
        following, kept = (_mean([sc.values[place] / _TO_TEN for sc, _ in whole]) for place in (0, 1))
        sc, pq = whole[-1]
        return Score(
            _mean([one for one, _ in lesser]),
            _mean([one for _, one in lesser]),
            _mean([math.sqrt(one * other) for one, other in lesser]),
            f"prompt following {following:.1f}, consistency {kept:.1f}: {_line(sc)}; quality: {_line(pq)}",
            notes,
        )

    async def _pass(
        self, judge: Judge, source: Tensor, edit: Tensor, instruction: str, number: int
    ) -> tuple[Numbers | None, Numbers | None, list[str]]:
        sc_question = SC_QUESTION.replace("<instruction>", instruction)
        manner = self.manner(number)
        asked = [([source, edit], sc_question, 2, "SC"), ([edit], PQ_QUESTION, 1, "PQ")]
        answers = await together([judge.ask(shown, question, MOST_TOKENS, manner) for shown, question, *_ in asked])
        found = [read(answer.text, least, RANGE) for answer, (*_, least, _) in zip(answers, asked, strict=True)]
        notes = [
            unreadable(judge, answer, half, number)
            for value, answer, (*_, half) in zip(found, answers, asked, strict=True)
            if value is None
        ]
        return found[0], found[1], notes


def unreadable(judge: Judge, answer: Answer, half: str, number: int) -> str:
    """A note on an answer without numbers."""
    where = f"no {half} in pass {number + 1}"
    return f"{judge.name} answered {answer.shown} instead of numbers from 0 to {RANGE}: {where}"


def _line(numbers: Numbers) -> str:
    return words.line(numbers.reason, LONGEST_REASON) if numbers.reason else ""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
