"""Ask a judge until it is understood: once, and once more in other words and with room for thoughts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor

from .judge import Answer, Judge, Thinking

T = TypeVar("T")


async def understood(
    judge: Judge,
    pictures: Sequence[Tensor],
    question: str,
    reminder: str | Callable[[], str],
    most_tokens: int,
    read: Callable[[Answer], T | None],
) -> tuple[T | None, Answer]:
    """The value that `read` finds in the judge's answer, None after two answers without one; and the last answer.

    An answer that was cut off may be a thought, marked or not. The second question then leaves room for thoughts, and
    so does every later question to a judge that remembers (`RememberingJudge.thinks`).

    Args:
        reminder: added to the second question, so that it is not the first one again; made then, if it is a function.
        most_tokens: of the answer alone.
    Raises:
        JudgeUnavailable: from the judge.
    """
    thinks = bool(getattr(judge, "thinks", False))
    answer = await judge.ask(pictures, question, most_tokens + (_room(judge) if thinks else 0))
    value = read(answer)
    if value is not None:
        return value, answer
    thinks = thinks or answer.cut
    again = question + (reminder if isinstance(reminder, str) else reminder())
    answer = await judge.ask(pictures, again, most_tokens + (_room(judge) if thinks else 0))
    value = read(answer)
    if value is not None and thinks and hasattr(judge, "thinks"):
        judge.thinks = True
    return value, answer


def _room(judge: Judge) -> int:
    return judge.thought_tokens if isinstance(judge, Thinking) else 0
