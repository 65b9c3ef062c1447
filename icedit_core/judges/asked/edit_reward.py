"""EditReward: two heads rate an edit at one token; no text is written."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from torch import Tensor

from ...ranking import together
from ..judge import Judge
from ..scores import Score
from .edit_reward_words import QUESTIONS, REWARD_TOKEN


@dataclass(frozen=True)
class EditReward:
    """See `base.Scoring`.

    Source: EditReward, arXiv 2509.26346; the mean over both heads (pooling "mean") of (mean, log sigma), of which the
    mean counts. Its numbers have no ends, and are not on a scale with those of other sets.
    """

    name: str = "EditReward"
    scale: str = "no fixed ends, higher is better"
    ends: None = None

    async def score(self, judge: Judge, source: Tensor, edit: Tensor, instruction: str) -> Score:
        """Both heads, each on its own question.

        Raises:
            ValueError: the instruction holds the token that the heads read.
        """
        if REWARD_TOKEN in instruction:
            raise ValueError(
                f"ICEdit judge: the instruction holds {REWARD_TOKEN}, but EditReward reads its rating at that token. "
                "Take it out of the instruction."
            )
        asked = [judge.ask([source, edit], one.replace("<instruction>", instruction), 0) for one in QUESTIONS]
        following, quality = [json.loads(answer.text) for answer in await together(asked)]
        overall, spread = ((a + b) / 2 for a, b in zip(following, quality, strict=True))
        reason = f"following {following[0]:.2f}, quality {quality[0]:.2f}, give or take {math.exp(min(spread, 50)):.2f}"
        return Score(following[0], quality[0], overall, reason)
