"""VIEScore: how well an edit follows its instruction and how natural it looks, in a judge's numbers and words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .. import foreign
from ..ranking import together
from . import words
from .asking import understood
from .json_text import objects
from .judge import Judge
from .scores import Score
from .viescore_questions import PQ_QUESTION, SC_QUESTION

MOST_TOKENS = 512
LARGEST = 10.0
LONGEST_REASON = 1000  # characters
REMINDER = '\n\nAnswer with the JSON object alone, for example {"score" : [5, 5], "reasoning" : "..."}.'
"""Added when an answer could not be read, so that the second question is not the first one again."""


async def score(judge: Judge, source: Tensor, edit: Tensor, instruction: str) -> Score:
    """Ask for both halves of VIEScore: SC on source and edit, PQ on the edit alone.

    The published code shows the words first and then the pictures; here the pictures come first, as for every judge.

    Args:
        source, edit: pictures (H, W, 3) in [0, 1].
    Raises:
        JudgeUnavailable: from the judge.
    Source: VIEScore, arXiv 2312.14867; O = sqrt(min(SC) * min(PQ)).
    """
    sc_question = SC_QUESTION.replace("<instruction>", instruction)
    asked = [_rating(judge, [source, edit], sc_question, "SC"), _rating(judge, [edit], PQ_QUESTION, "PQ")]
    (sc, sc_reason, sc_note), (pq, pq_reason, pq_note) = await together(asked)
    notes = tuple(note for note in (sc_note, pq_note) if note)
    return Score(sc, pq, math.sqrt(sc * pq), f"SC {sc:g}: {sc_reason}; PQ {pq:g}: {pq_reason}", notes)


async def _rating(judge: Judge, pictures: Sequence[Tensor], question: str, half: str) -> tuple[float, str, str]:
    """(the least number, the judge's words, a note when they could not be read)."""
    found, answer = await understood(judge, pictures, question, REMINDER, MOST_TOKENS, lambda answer: read(answer.text))
    if found is not None:
        return min(found[0]), words.line(found[1], LONGEST_REASON) if found[1] else "", ""
    note = f"{judge.name} answered {answer.shown} instead of two numbers from 0 to 10, twice: no {half}"
    return math.nan, "unreadable", note


def read(text: str) -> tuple[tuple[float, ...], str] | None:
    """The numbers and the words of an answer; None when it holds no number from 0 to 10 in the form asked for.

    Reads the last JSON object with a score, else a `score : [a, b]` of broken or cut-off JSON, else a list alone. One
    number instead of two counts for both, as in the published code, which draws a random number where this gives up.
    """
    text = text[: 2 * foreign.TEXT_LENGTH]
    for data in reversed(list(objects(text))):
        scores = _scores(data.get("score"))
        if scores:
            reason = data.get("reasoning", "")
            return scores, reason.strip() if isinstance(reason, str) else foreign.text(reason)
    lists = re.findall(r"score\W*?\[([^\[\]]*)\]", text) or re.findall(r"^\s*\[([^\[\]]*)\]\s*$", text)
    scores = _scores(lists[-1].split(",")) if lists else None
    if not scores:
        return None
    reason = re.search(r'reasoning"?\s*:\s*"([^"]*)', text)
    return scores, reason[1].strip() if reason else ""


def _scores(values: Any) -> tuple[float, ...] | None:
    values = values if isinstance(values, list) else [values]
    numbers = [_number(value) for value in values]
    within = [number for number in numbers if number is not None and 0 <= number <= LARGEST]
    return tuple(within) if 1 <= len(values) <= 2 and len(within) == len(values) else None


def _number(value: Any) -> float | None:
    """A number, also in words such as "8" or "8/10"."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)(?:\s*/\s*10)?\s*", value)
        return float(match[1]) if match else None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= LARGEST else None  # 400 digits are no float
