"""What a judge is: somebody who looks at pictures and answers a question in a word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from . import words


class JudgeUnavailable(ValueError):
    """The judge could not be reached or refuses to work; nothing is wrong with the candidates."""


@dataclass(frozen=True)
class Answer:
    """text: the reply; probabilities: of its first token, where the judge knows them (they need not add up to 1).

    The text is made fit to be shown right here, where every judge's words pass: see `words.text`.
    """

    text: str
    probabilities: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", words.text(self.text))


class Judge(Protocol):
    """Anything that answers a question about pictures.

    name: tells judges apart, for the report and for remembered verdicts: model, place and settings, never a secret.
    """

    @property
    def name(self) -> str: ...

    async def ask(self, pictures: Sequence[Tensor], question: str, most_tokens: int) -> Answer:
        """Answer `question` on pictures (H, W, 3) in [0, 1], shown in this order.

        Raises:
            JudgeUnavailable: no answer can be had.
        """
        ...


@runtime_checkable
class Closing(Protocol):
    """A judge that wants to know when a ranking is over, well or badly."""

    async def close(self) -> str:
        """Give back what is no longer needed; says what was done, for the report, or nothing. Raises nothing."""
        ...


@runtime_checkable
class Chooser(Judge, Protocol):
    """A judge that looks at all candidates at once and picks one, e.g. a person."""

    async def choose(self, source: Tensor, candidates: Sequence[Tensor], instruction: str) -> int:
        """The index of the best of `candidates`, pictures (H, W, 3 or 4) in [0, 1].

        Raises:
            JudgeUnavailable: nobody is there.
        """
        ...
