"""For models that were not made for judging edits: VIEScore's questions, and the pack's own on two edits."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...ranking import Duel
from .. import pair, viescore
from ..judge import Judge
from .base import QuestionSet, Score


@dataclass(frozen=True)
class General:
    """See `base.QuestionSet`."""

    name: str = "VIEScore"
    scale: str = "0 to 10"
    ends: tuple[float, float] = (0.0, 10.0)

    async def score(self, judge: Judge, source: Tensor, edit: Tensor, instruction: str) -> Score:
        """VIEScore, as `viescore.score` asks."""
        return await viescore.score(judge, source, edit, instruction)

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
        """The pack's own question, as `pair.compare` asks."""
        return await pair.compare(judge, source, candidates, instruction, first, second, both_orders)


GENERAL = General()


def of(judge: Judge) -> QuestionSet:
    """The question set that a judge is asked in."""
    own: QuestionSet | None = getattr(judge, "questions", None)
    return own or GENERAL
