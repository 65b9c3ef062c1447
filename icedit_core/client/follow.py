"""Follows one prompt through the server's websocket messages."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from .errors import (
    ComfyError,
    ExecutionFailed,
    ExecutionInterrupted,
    ServerUnreachable,
    UnexpectedAnswer,
    as_list,
    as_object,
    excerpt,
)
from .messages import Graph, Progress


class Follower:
    """Reads the messages of one prompt until the server has put it into its history.

    The server reports twice: `executing` and `progress` for one node at a time, and `progress_state` for all of
    them at once. The first pair says all that is needed here and is understood by every ComfyUI.

    Attributes:
        cached: ids of the nodes that the server did not run again.
    """

    def __init__(self, graph: Graph, on_progress: Callable[[Progress], None] | None = None) -> None:
        self.cached: list[str] = []
        self._types = {str(node_id): str(as_object(node).get("class_type", "")) for node_id, node in graph.items()}
        self._on_progress = on_progress
        self._last: Progress | None = None
        self._failure: ComfyError | None = None

    async def follow(self, socket: aiohttp.ClientWebSocketResponse[bool], prompt_id: str) -> None:
        """Return when the prompt is done; raise what the server reported if it failed.

        The server sends `executing` without a node when a prompt is in its history, however it ended.
        """
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                event = _event(message.data)
                data = as_object(event.get("data"))
                if data.get("prompt_id") == prompt_id and self._handle(str(event.get("type")), data):
                    break
        else:
            reason = socket.exception() or f"websocket closed, code {socket.close_code}"
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
            self._report(str(data["node"]), 0, 0)
        elif kind == "progress":
            value, most = _count(data.get("value")), _count(data.get("max"))
            if value is not None and most is not None:  # a node may send what it likes: nothing hangs on it
                self._report(str(data.get("node")), value, most)
        elif kind == "execution_cached":
            self.cached = [str(node_id) for node_id in as_list(data.get("nodes"))]
        elif kind in _FAILURES:
            self._failure = _FAILURES[kind](data)
        return False

    def _report(self, node_id: str, value: int, maximum: int) -> None:
        self._last = Progress(node_id, self._types.get(node_id, ""), value, maximum)
        if self._on_progress is not None:
            self._on_progress(self._last)


_FAILURES: dict[str, Callable[[Mapping[str, Any]], ComfyError]] = {
    "execution_error": ExecutionFailed,
    "execution_interrupted": ExecutionInterrupted,
}


def _event(text: str) -> dict[str, Any]:
    """One message of the server; what is none may be the last we wait for, so it is not passed over."""
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise UnexpectedAnswer(
            f"ComfyClient: the websocket brought {excerpt(text)}, but ComfyUI sends JSON objects. "
            "Is a ComfyUI at that address?"
        )
    return event


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
