"""The one question that every judge is asked about two edits, and how its answer is read."""

from __future__ import annotations

import re

from torch import Tensor

from ..ranking import TIE, Duel, together
from . import words
from .judge import Answer, Judge

QUESTION = (
    "The first picture is the original. The second picture is edit 1 and the third picture is edit 2 of it. Both were "
    'made by the instruction: "{instruction}".\n'
    "Which edit is better? The better edit follows the instruction more exactly, has fewer artifacts, leaves "
    "everything that the instruction does not name identical to the original, and keeps the style of the original "
    "unless the instruction changes it.\n"
    "Answer with the number alone: 1 or 2."
)
"""The criteria of the published early filter. Source: ICEdit, arXiv 2504.20690, section 3.4."""

MOST_TOKENS = 8
REMINDER = "\nAnswer with one character, 1 or 2, and nothing else."
"""Added when an answer could not be read, so that the second question is not the first one again."""


async def compare(
    judge: Judge,
    source: Tensor,
    candidates: list[Tensor],
    instruction: str,
    first: int,
    second: int,
    both_orders: bool = True,
) -> Duel:
    """Ask which of two candidates is better.

    Args:
        source, candidates: pictures (H, W, 3) in [0, 1].
        both_orders: ask a second time with the two swapped, since judges prefer a position; a judge that then
            contradicts itself calls a tie.
    Raises:
        JudgeUnavailable: from the judge.
    """
    question = QUESTION.format(instruction=instruction)
    orders = [(first, second), (second, first)] if both_orders else [(first, second)]
    asked = [_preference(judge, [source, candidates[a], candidates[b]], question) for a, b in orders]
    replies = await together(asked)
    shares = [p if order[0] == first else 1 - p for order, (p, _, _) in zip(orders, replies, strict=True)]
    notes = [note for _, _, note in replies if note]
    if both_orders and (shares[0] - TIE) * (shares[1] - TIE) < 0 and not notes:
        notes.append(f"candidates {first} and {second}: the answer followed the position")
    p_first = sum(shares) / len(shares)
    said = " / ".join(text for _, text, _ in replies)
    return Duel(first, second, p_first, f"{first} against {second}: {said}", tuple(notes))


async def _preference(judge: Judge, pictures: list[Tensor], question: str) -> tuple[float, str, str]:
    """(how surely the first edit is better, the reply, a note when it could not be read)."""
    answer = Answer("")
    for ask in (question, question + REMINDER):
        answer = await judge.ask(pictures, ask, MOST_TOKENS)
        p_first = read(answer)
        if p_first is not None:
            return p_first, words.line(answer.text) if answer.text else "", ""
    shown = words.line(answer.text, 80) if answer.text else ""
    return TIE, "unreadable", f"{judge.name} answered '{shown}' twice instead of 1 or 2: counted as a tie"


def read(answer: Answer) -> float | None:
    """How surely the answer is "1", 0 to 1; None when it is neither 1 nor 2.

    First-token probabilities decide where the judge gives them for both numbers; else the one number that the text
    holds.
    """
    if answer.probabilities:
        one, two = (_mass(answer, number) for number in ("1", "2"))
        if one + two > 0.01:
            return one / (one + two)
    numbers = set(re.findall(r"(?<![\w.])[12](?![\w]|\.\d)", answer.text))
    return {"1": 1.0, "2": 0.0}[numbers.pop()] if len(numbers) == 1 else None


def _mass(answer: Answer, number: str) -> float:
    return sum(p for token, p in (answer.probabilities or {}).items() if token.strip() == number)
