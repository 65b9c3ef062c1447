"""Verdicts remembered for the life of the process, so that a graph queued again asks only what is new."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from .judge import PLAIN, Answer, Judge, Manner, Thinking
from .pictures import made_small

MOST_ANSWERS = 4096
ONE_THREAD = ThreadPoolExecutor(1, "icedit-judge")
"""For photographs: each thread keeps 100 MB of what it has had, so there is one."""


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
        self._ready: dict[int, tuple[Tensor, Tensor, str]] = {}
        self._preparing = asyncio.Lock()
        self._new: list[tuple[str, ...]] = []

    @property
    def name(self) -> str:
        return self.judge.name

    @property
    def questions(self) -> object:
        """The judge's own question set, see `asked.of`."""
        return getattr(self.judge, "questions", None)

    @property
    def thought_tokens(self) -> int:
        """See `Thinking`."""
        return self.judge.thought_tokens if isinstance(self.judge, Thinking) else 0

    async def ask(self, pictures: Sequence[Tensor], question: str, most_tokens: int, manner: Manner = PLAIN) -> Answer:
        """See `Judge.ask`."""
        ready = [await self._prepared(picture) for picture in pictures]
        way = [] if manner == PLAIN else [manner]
        key = (self.name, question, str(most_tokens), *map(repr, way), *(digest for _, digest in ready))
        if key in self.answers:
            self.answers.move_to_end(key)
            return self.answers[key]
        self.asked += 1
        answer = await self.judge.ask([small for small, _ in ready], question, most_tokens, *way)
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

    async def _prepared(self, picture: Tensor) -> tuple[Tensor, str]:
        """The picture at the size that the judge looks at, and its digest.

        Made once a picture and one at a time, off the event loop: of a photograph it takes seconds and 100 MB.
        """
        async with self._preparing:
            if id(picture) not in self._ready:
                side = getattr(self.judge, "picture_side", None)
                work = asyncio.get_running_loop().run_in_executor(ONE_THREAD, _made_ready, picture, side)
                self._ready[id(picture)] = picture, *await work  # the picture is kept, so that its id stays its own
            _, small, digest = self._ready[id(picture)]
        return small, digest


def _made_ready(picture: Tensor, side: int | None) -> tuple[Tensor, str]:
    small = picture if side is None else made_small(picture, side)
    return small, _digest(small)


def _digest(picture: Tensor) -> str:
    data = picture.detach().cpu().contiguous()
    found = hashlib.sha256(str((data.shape, data.dtype)).encode())
    found.update(data.view(torch.uint8).numpy().data)
    return found.hexdigest()
