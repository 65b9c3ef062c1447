"""Follows one prompt through the server's websocket messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from .. import foreign
from .answers import parse_object
from .errors import (
    ComfyError,
    ExecutionFailed,
    ExecutionInterrupted,
    RunTimeout,
    ServerUnreachable,
    UnexpectedAnswer,
    as_list,
    as_object,
)
from .messages import Graph, Progress
from .news import NODE_LENGTH, News, count


class Follower:
    """Reads the messages of one prompt until the server has put it into its history.

    The server reports twice: `executing` and `progress` for one node at a time, and `progress_state` for all of
    them at once. The first pair says all that is needed here and is understood by every ComfyUI.

    Args:
        silence: seconds that may pass without news, see `News`; None sets no limit.
    Attributes:
        cached: ids of the nodes that the server did not run again.
    """

    def __init__(
        self,
        graph: Graph,
        on_progress: Callable[[Progress], None] | None = None,
        silence: float | None = None,
    ) -> None:
        self.cached: list[str] = []
        self._types = {
            foreign.line(node_id, NODE_LENGTH): foreign.line(as_object(node).get("class_type", ""))
            for node_id, node in graph.items()
        }
        self._on_progress = on_progress
        self._silence = silence
        self._news = News()
        self._last: Progress | None = None
        self._failure: ComfyError | None = None

    async def follow(self, socket: aiohttp.ClientWebSocketResponse[bool], prompt_id: str) -> None:
        """Return when the prompt is done; raise what the server reported if it failed.

        The server sends `executing` without a node when a prompt is in its history, however it ended.
        """
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while True:
            left = None if self._silence is None else max(0.0, heard + self._silence - loop.time())
            try:
                message = await asyncio.wait_for(socket.receive(), left)
            except asyncio.TimeoutError:
                raise RunTimeout(
                    f"ComfyClient.run: no news for {self._silence:g} s, {self.place()}. The server was told to drop it."
                ) from None
            if message.type is aiohttp.WSMsgType.TEXT:
                event = _event(message.data)
                data = as_object(event.get("data"))
                ours = data.get("prompt_id") == prompt_id
                if self._news.is_news(event.get("type"), data, ours):
                    heard = loop.time()
                if ours and self._handle(str(event.get("type")), data):
                    break
            elif message.type is not aiohttp.WSMsgType.BINARY:
                reason = foreign.line(socket.exception() or f"websocket closed, code {socket.close_code}")
                raise ServerUnreachable(
                    f"ComfyClient: lost the server {self.place()} ({reason}). The server's log says why."
                )
        if self._failure is not None:
            raise self._failure

    def place(self) -> str:
        """Where the run stands, in words."""
        if self._last is None:
            return "still waiting in the server's queue"
        steps = f", step {self._last.value} of {self._last.max}" if self._last.max else ""
        return f"in node {self._last.node_id} ({self._last.node_type or 'made by another node'}){steps}"

    def check(self, status: Mapping[str, Any]) -> None:
        """Raise the failure that the server's history knows of and no message told."""
        for message in as_list(status.get("messages")):
            if isinstance(message, list) and len(message) == 2 and message[0] in _FAILURES:
                raise _FAILURES[message[0]](as_object(message[1]))
        if status.get("status_str") == "error":
            raise ExecutionFailed({"exception_message": "the server's history says that it failed, and not why"})

    def _handle(self, kind: str, data: Mapping[str, Any]) -> bool:
        """Take in one message of our prompt; True if it was the last."""
        if kind == "executing":
            if data.get("node") is None:
                return True
            self._report(data["node"], 0, 0)
        elif kind == "progress":
            value, most = count(data.get("value")), count(data.get("max"))
            if value is not None and most is not None:  # a node may send what it likes: nothing hangs on it
                self._report(data.get("node"), value, most)
        elif kind == "execution_cached":
            self.cached = [foreign.line(node_id, NODE_LENGTH) for node_id in as_list(data.get("nodes"))]
        elif kind in _FAILURES:
            self._failure = _FAILURES[kind](data)
        return False

    def _report(self, node: object, value: int, maximum: int) -> None:
        node_id = foreign.line(node, NODE_LENGTH)
        step = Progress(node_id, self._types.get(node_id, ""), value, maximum)
        fresh, self._last = step != self._last, step
        if fresh and self._on_progress is not None:
            self._on_progress(step)


_FAILURES: dict[str, Callable[[Mapping[str, Any]], ComfyError]] = {
    "execution_error": ExecutionFailed,
    "execution_interrupted": ExecutionInterrupted,
}


def _event(text: str) -> dict[str, Any]:
    """One message of the server; what is none may be the last we wait for, so it is not passed over."""
    event = parse_object(text)
    if event is None:
        raise UnexpectedAnswer(
            f"ComfyClient: the websocket brought {foreign.line(text)}, but ComfyUI sends JSON objects. "
            "Is a ComfyUI at that address?"
        )
    return event
