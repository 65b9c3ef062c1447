"""What a question set is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from ...ranking import Duel
from ..judge import Judge
from ..scores import Region, Score

__all__ = ["Comparing", "QuestionSet", "Region", "Score", "Scoring"]


class QuestionSet(Protocol):
    """One way to ask; it is `Scoring`, `Comparing` or both.

    name: shown with every number, since numbers of two sets cannot be compared; scale: of an overall score, in words;
    ends: the lowest and highest overall score, None if there are none.
    """

    @property
    def name(self) -> str: ...

    @property
    def scale(self) -> str: ...

    @property
    def ends(self) -> tuple[float, float] | None: ...


@runtime_checkable
class Scoring(Protocol):
    """A set that rates one edit."""

    async def score(self, judge: Judge, source: Tensor, edit: Tensor, instruction: str) -> Score:
        """Rate an edit; pictures (H, W, 3) in [0, 1].

        Raises:
            JudgeUnavailable: from the judge.
        """
        ...


@runtime_checkable
class Comparing(Protocol):
    """A set that tells the better of two edits."""

    async def compare(
        self,
        judge: Judge,
        source: Tensor,
        candidates: list[Tensor],
        instruction: str,
        first: int,
        second: int,
        both_orders: bool = True,
    ) -> Duel:
        """Say which of two candidates is better; arguments as for `pair.compare`."""
        ...
