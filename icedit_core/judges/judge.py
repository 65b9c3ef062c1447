"""What a judge is: somebody who looks at pictures and answers a question in a word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from .. import foreign
from . import thoughts, words

THOUGHT_TOKENS = 4096
"""Room for thoughts where nobody says otherwise; small models need one to three thousand on two pictures."""

LONGEST_ANSWER = 8 * foreign.TEXT_LENGTH
"""Characters of an answer that are kept: reasons may come first, and 512 tokens of them are more than one text."""


@dataclass(frozen=True)
class Manner:
    """How a question is put, beyond its words; as it stands here: the likeliest token each time, nothing before.

    temperature, top_p, top_k: of sampling, 0 for the likeliest token; seed: of what is drawn; system: the turn before
    the question; numbered: "<img1>: " stands before the first picture, and so on.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    system: str = ""
    numbered: bool = False

    @property
    def draws(self) -> bool:
        return self.temperature > 0


PLAIN = Manner()


class JudgeUnavailable(ValueError):
    """The judge could not be reached or refuses to work; nothing is wrong with the candidates."""


class JudgeUnreadable(JudgeUnavailable):
    """The judge answered, but not one of its answers could be understood."""


@dataclass(frozen=True)
class Answer:
    """A judge's reply without the thoughts before it.

    The text is made ready right here, where every judge's words pass: thoughts are taken off (`thoughts.taken_off`),
    the rest is made fit to be shown (`words.text`).

    text: the reply; "" if nothing but thoughts came.
    probabilities: of the first token, where the judge knows them (they need not add up to 1). None if thoughts came
        first: the first token is then a thought's.
    cut: the reply ended because its tokens were used up, or inside a thought.
    trouble: why there is no answer, in words, e.g. a refusal.
    """

    text: str
    probabilities: Mapping[str, float] | None = None
    cut: bool = False
    trouble: str = ""

    def __post_init__(self) -> None:
        said, open_thought = thoughts.taken_off(self.text)
        if not self.text.lstrip().startswith(said):
            object.__setattr__(self, "probabilities", None)
        object.__setattr__(self, "text", words.text(said, LONGEST_ANSWER))
        object.__setattr__(self, "cut", self.cut or open_thought)
        object.__setattr__(self, "trouble", words.line(self.trouble) if self.trouble else "")

    @property
    def shown(self) -> str:
        """What came instead of an answer, for a note."""
        if self.trouble:
            return self.trouble
        if self.text:
            return f"'{words.line(self.text, 80)}'"
        return "thoughts without an end" if self.cut else "nothing"


class Judge(Protocol):
    """Anything that answers a question about pictures.

    name: tells judges apart, for the report and for remembered verdicts: model, place and settings, never a secret.
    """

    @property
    def name(self) -> str: ...

    async def ask(self, pictures: Sequence[Tensor], question: str, most_tokens: int, manner: Manner = PLAIN) -> Answer:
        """Answer `question` on pictures (H, W, 3) in [0, 1], shown in this order.

        Args:
            manner: left out by whoever wants none; a judge that knows none may leave it out too, and has no question
                set of its own then.

        Raises:
            JudgeUnavailable: no answer can be had.
        """
        ...


@runtime_checkable
class Thinking(Judge, Protocol):
    """A judge whose model may think before it answers.

    thought_tokens: the room for that, given when an answer was cut off; 0: the model is asked not to think.
    """

    thought_tokens: int


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
