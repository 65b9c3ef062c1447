"""The one question that every judge is asked about two edits, and how its answer is read."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping

from torch import Tensor

from ..ranking import TIE, Duel, together
from . import words
from .asking import understood
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

Preference = tuple[float | None, str, str]
"""How surely the first edit is better, None if unreadable; the reply; a note when it could not be read."""


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

    def prefer(a: int, b: int) -> Awaitable[Preference]:
        return _preference(judge, [source, candidates[a], candidates[b]], question)

    return await in_both_orders(first, second, both_orders, prefer)


async def in_both_orders(
    first: int, second: int, both_orders: bool, prefer: Callable[[int, int], Awaitable[Preference]]
) -> Duel:
    """A duel from one or two answers.

    Args:
        prefer: how surely the first of two candidates, shown in this order, is the better one.
    """
    orders = [(first, second), (second, first)] if both_orders else [(first, second)]
    replies = await together([prefer(a, b) for a, b in orders])
    told = [TIE if p is None else p for p, _, _ in replies]
    shares = [p if order[0] == first else 1 - p for order, p in zip(orders, told, strict=True)]
    notes = [note for _, _, note in replies if note]
    if both_orders and (shares[0] - TIE) * (shares[1] - TIE) < 0 and not notes:
        notes.append(f"candidates {first} and {second}: the answer followed the position")
    p_first = sum(shares) / len(shares)
    said = " / ".join(text for _, text, _ in replies)
    return Duel(
        first,
        second,
        p_first,
        f"{first} against {second}: {said}",
        tuple(notes),
        any(p is not None for p, _, _ in replies),
    )


async def _preference(judge: Judge, pictures: list[Tensor], question: str) -> Preference:
    p_first, answer = await understood(judge, pictures, question, REMINDER, MOST_TOKENS, read)
    if p_first is None:
        return None, "unreadable", f"{judge.name} answered {answer.shown} twice instead of 1 or 2: counted as a tie"
    return p_first, words.line(answer.text), ""


def read(answer: Answer) -> float | None:
    """How surely the answer is "1", 0 to 1; None when it is neither 1 nor 2.

    The text decides what the answer is. First-token probabilities say how sure it is, where that token is the answer.
    """
    number = _number(answer.text, answer.cut)
    if number is None:
        return None
    told = answer.probabilities or {}
    if told and max(told, key=lambda token: told[token]).strip() == number:
        one, two = (_mass(told, value) for value in ("1", "2"))
        return one / (one + two)
    return 1.0 if number == "1" else 0.0


_MARKUP = re.compile(r"\\(?:boxed|text|mathbf)\b|</?answer>|[*_`#\"'(){}\[\]$]+", re.IGNORECASE)
_DRESSED = re.compile(
    r"(?:(?:(?:the|my) )?(?:(?:final )?answer|winner|choice|result|(?:better|best|preferred)(?: (?:edit|one))?)"
    r"(?: is|:|=)? ?|i (?:would )?(?:choose|pick|prefer) |\u7b54\u6848(?:\u662f|\uff1a|:)? ?)?"
    r"(?:(?:edit|option|number) ?)?([12])"
    r"(?: is (?:the )?(?:better|best)(?: (?:edit|one))?)?(?:,? because\b.*)?",
    re.IGNORECASE,
)
"""An answer in words. "Image 2" and "picture 2" are not in it: the second picture is edit 1."""


def _number(text: str, cut: bool) -> str | None:
    """The "1" or "2" that a text says in one of an answer's usual dresses; None for any other text.

    Lines after a number alone may explain it; lines before the answer may lead to it, unless the text was cut off
    there. A number within a sentence says nothing: error texts, counts and negations hold them too.
    """
    lines = [_plain(line) for line in text.splitlines() if line.strip()]
    found = [_DRESSED.fullmatch(line) for line in lines]
    numbers = {one[1] for one in found if one}
    is_last = bool(lines) and found[-1] is not None and (len(lines) == 1 or not cut)
    is_answer = is_last or (bool(lines) and lines[0] in numbers)
    return numbers.pop() if is_answer and len(numbers) == 1 else None


def _plain(line: str) -> str:
    return " ".join(_MARKUP.sub(" ", line).split()).replace(" :", ":").strip(" .!:,;\u3002")


def _mass(probabilities: Mapping[str, float], number: str) -> float:
    return sum(p for token, p in probabilities.items() if token.strip() == number)
