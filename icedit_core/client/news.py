"""Which of a server's messages are news: a server that only repeats or invents progress is to be given up one day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import foreign
from .errors import as_object

MOST_STEPS = 10**9
NODE_LENGTH = 100  # letters of a node's id
MOST_NEWS = 100_000  # of one run; more is invented, and would fill the memory
_STAGES = ("execution_start", "execution_cached", "executing", "executed", "execution_success")


class News:
    """Remembers how far a run has come.

    News is a node or stage that was not reached before, a step further than the node's progress bar has been, a
    finished bar that begins again (some nodes have several in a row), and another length of the server's queue.
    """

    def __init__(self) -> None:
        self._reached: set[int] = set()
        self._bars: dict[int, int] = {}  # by node and steps in all: the furthest step
        self._queue: int | None = None

    def is_news(self, kind: object, data: Mapping[str, Any], ours: bool) -> bool:
        """Whether the run or the queue is further than all messages before have said.

        Args:
            ours: whether the message is of our prompt.
        """
        if kind == "status":
            return self._is_new_length(as_object(as_object(data.get("status")).get("exec_info")))
        if not ours or len(self._reached) + len(self._bars) >= MOST_NEWS:
            return False
        node = foreign.line(data.get("node"), NODE_LENGTH)
        if not isinstance(kind, str):
            return False
        if kind == "progress":
            return self._is_further(node, count(data.get("value")), count(data.get("max")))
        stage = hash((kind, node))
        fresh = kind in _STAGES and stage not in self._reached
        if fresh:
            self._reached.add(stage)
        return fresh

    def _is_new_length(self, queue: Mapping[str, Any]) -> bool:
        before, self._queue = self._queue, count(queue.get("queue_remaining"))
        return self._queue is not None and self._queue != before

    def _is_further(self, node: str, value: int | None, most: int | None) -> bool:
        if value is None or most is None:
            return False
        bar = hash((node, most))
        furthest = self._bars.get(bar)
        fresh = furthest is None or value > furthest or (furthest >= most and value < furthest)
        if fresh:
            self._bars[bar] = value
        return fresh


def count(value: object) -> int | None:
    """A number of steps, or of prompts; None for anything else."""
    good = isinstance(value, (int, float)) and abs(value) <= MOST_STEPS  # NaN is not
    return int(value) if good else None  # type: ignore[call-overload]
