"""Verdicts remembered for the life of the process, so that a graph queued again asks only what is new."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

from .judge import Answer, Judge, Thinking

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
        self.thinks = False  # set once the judge was seen to need room for its thoughts
        self._digests: dict[int, tuple[Tensor, str]] = {}
        self._new: list[tuple[str, ...]] = []

    @property
    def name(self) -> str:
        return self.judge.name

    @property
    def thought_tokens(self) -> int:
        """See `Thinking`."""
        return self.judge.thought_tokens if isinstance(self.judge, Thinking) else 0

    async def ask(self, pictures: Sequence[Tensor], question: str, most_tokens: int) -> Answer:
        """See `Judge.ask`."""
        digests = [await self._digest(picture) for picture in pictures]
        key = (self.name, question, str(most_tokens), *digests)
        if key in self.answers:
            self.answers.move_to_end(key)
            return self.answers[key]
        self.asked += 1
        answer = await self.judge.ask(pictures, question, most_tokens)
        self.answers[key] = answer
        self._new.append(key)
        while len(self.answers) > MOST_ANSWERS:
            self.answers.popitem(last=False)
        return answer

    def forget(self) -> None:
        """Forget the answers given to this object, so that a judge that was set right is asked again."""
        for key in self._new:
            self.answers.pop(key, None)
        self._new.clear()

    async def _digest(self, picture: Tensor) -> str:
        """Computed once a picture, off the event loop: a photograph takes a good part of a second."""
        if id(picture) not in self._digests:
            self._digests[id(picture)] = (
                picture,
                await asyncio.to_thread(_digest, picture),
            )  # kept: its id stays its own
        return self._digests[id(picture)][1]


def _digest(picture: Tensor) -> str:
    data = picture.detach().cpu().contiguous()
    found = hashlib.sha256(str((data.shape, data.dtype)).encode())
    found.update(memoryview(data.view(torch.uint8).numpy()))
    return found.hexdigest()
