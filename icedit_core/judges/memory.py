"""Verdicts remembered for the life of the process, so that a graph queued again asks only what is new."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor

from .judge import Answer, Judge

MOST_ANSWERS = 4096


class RememberingJudge:
    """Another judge, asked once about the same pictures in the same words.

    Args:
        judge: who is asked; its name stands for its settings.
        answers: shared memory; the oldest answers are forgotten first.
    """

    def __init__(self, judge: Judge, answers: OrderedDict[tuple[str, ...], Answer]):
        self.judge = judge
        self.answers = answers
        self.asked = 0

    @property
    def name(self) -> str:
        return self.judge.name

    async def ask(self, pictures: Sequence[Tensor], question: str, most_tokens: int) -> Answer:
        """See `Judge.ask`."""
        key = (self.name, question, str(most_tokens), *map(_digest, pictures))
        if key in self.answers:
            self.answers.move_to_end(key)
            return self.answers[key]
        self.asked += 1
        answer = await self.judge.ask(pictures, question, most_tokens)
        self.answers[key] = answer
        while len(self.answers) > MOST_ANSWERS:
            self.answers.popitem(last=False)
        return answer


def _digest(picture: Tensor) -> str:
    data = picture.detach().cpu().contiguous()
    return hashlib.sha256(str((data.shape, data.dtype)).encode() + data.numpy().tobytes()).hexdigest()
