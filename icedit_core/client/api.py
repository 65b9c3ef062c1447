"""The client itself: one HTTP session, one method per thing the server can do."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import aiohttp

from .. import foreign
from .answers import MOST_SCHEMA_VALUES, PICTURE_LIMIT
from .errors import (
    ComfyError,
    ExecutionFailed,
    ExecutionInterrupted,
    PromptRejected,
    RunTimeout,
    UnexpectedAnswer,
    as_object,
)
from .follow import Follower
from .messages import Graph, ImageRef, Progress, Result
from .transport import Transport

log = logging.getLogger(__name__)

PATIENCE_TO_CANCEL = 5.0  # seconds
LONGEST_ID = 200


class ComfyClient:
    """One connection to a ComfyUI server; use it with `async with`.

    Args:
        base_url: e.g. `http://127.0.0.1:8188`.
        timeout: seconds that a single request may take, and every 64 kB of a picture (a whole run has its own
            limits, see `run`).
    """

    def __init__(self, base_url: str = "http://127.0.0.1:8188", *, timeout: float = 60.0) -> None:
        self.client_id = uuid.uuid4().hex
        self._http = Transport(base_url, timeout)

    @property
    def base_url(self) -> str:
        """The server's address."""
        return self._http.base_url

    async def __aenter__(self) -> ComfyClient:
        await self._http.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.close()

    async def upload_image(
        self, image: Path | bytes, name: str | None = None, *, subfolder: str = "", overwrite: bool = False
    ) -> ImageRef:
        """Put an image into the server's input folder.

        Args:
            image: a file, or an encoded image (PNG, JPEG, ...).
            name: file name on the server; the file's own name by default, needed for bytes.
            overwrite: replace a file of that name; otherwise the server finds a free name.
        Returns:
            where it lies; `.widget` is the value for a LoadImage node.
        Raises:
            ValueError: no name, or one with control characters.
        """
        if isinstance(image, Path):
            name = name or image.name
            image = image.read_bytes()
        if not name:
            raise ValueError("upload_image: got bytes without a name, but the server needs one. Pass name='image.png'.")
        fields = {"subfolder": subfolder, "type": "input", "overwrite": "true" if overwrite else "false"}
        form = _form(image, name, fields)
        return ImageRef.parse(await self._http.json("POST", "/upload/image", sends=len(image), data=form))

    async def queue(self, graph: Graph) -> str:
        """Queue a graph without waiting for it.

        Returns:
            the prompt's id.
        Raises:
            PromptRejected: the server found the graph, or a part of it, invalid; nothing of it runs then.
        """
        return await self._queue(graph, str(uuid.uuid4()))

    async def run(
        self,
        graph: Graph,
        on_progress: Callable[[Progress], None] | None = None,
        *,
        timeout: float | None = None,
        silence: float | None = None,
    ) -> Result:
        """Queue a graph and follow it to its end.

        Args:
            on_progress: called for every node that begins and every step that a node reports.
            timeout: seconds for queueing, waiting in the queue and running together; None sets no limit.
            silence: seconds without news of the prompt or of the queue; None sets no limit.
        Raises:
            PromptRejected: validation failed.
            ExecutionFailed: a node raised.
            ExecutionInterrupted: someone interrupted it.
            RunTimeout: the time was up, or the server silent. As for any other way out before the end (a cancelled
                task, an exception in on_progress), the prompt is taken off the server.
            ServerUnreachable: the server went away.
            UnexpectedAnswer: what came is not ComfyUI's, or the server has forgotten the result.
        """
        _check_graph(graph)
        follower = Follower(graph, on_progress, silence)
        socket = await self._http.websocket(self.client_id)
        try:
            return await asyncio.wait_for(self._run(graph, socket, follower), timeout)
        except RunTimeout:
            raise
        except asyncio.TimeoutError as error:
            raise RunTimeout(
                f"ComfyClient.run: {follower.place()} after {timeout:g} s, but it had to be done by then. "
                "Allow more time or make the graph smaller."
            ) from error
        finally:
            await self._http.hang_up(socket)

    async def history(self, prompt_id: str) -> dict[str, Any]:
        """What the server keeps of a finished prompt ({} while it waits or runs)."""
        return dict(as_object((await self._http.json("GET", f"/history/{quote(prompt_id, safe='')}")).get(prompt_id)))

    async def download(self, image: ImageRef) -> bytes:
        """The bytes of an image file on the server, untouched; at most 256 MB."""
        return b"".join([piece async for piece in self.download_pieces(image)])

    async def download_pieces(self, image: ImageRef) -> AsyncGenerator[bytes, None]:
        """The same in pieces, to be written as they come."""
        query = {"filename": image.filename, "subfolder": image.subfolder, "type": image.type}
        async with aclosing(self._http.pieces("GET", "/view", limit=PICTURE_LIMIT, renew=True, params=query)) as pieces:
            async for piece in pieces:
                yield piece

    async def forget(self, prompt_id: str) -> None:
        """Take a finished prompt out of the server's history; its files stay."""
        await self._http.request("POST", "/history", json={"delete": [prompt_id]})

    async def interrupt(self, prompt_id: str | None = None) -> None:
        """Stop that prompt if it is the one that runs; without an id, whatever runs."""
        await self._http.request("POST", "/interrupt", json={"prompt_id": prompt_id} if prompt_id else {})

    async def cancel(self, prompt_id: str) -> None:
        """Take a prompt off the server, whether it waits or runs."""
        await self._http.request("POST", "/queue", json={"delete": [prompt_id]})
        await self.interrupt(prompt_id)

    async def object_info(self, node_type: str | None = None) -> dict[str, Any]:
        """The schema of one node type ({} if the server does not have it), or of all."""
        if node_type in (".", ".."):  # as a part of a path these two mean another place
            return {name: schema for name, schema in (await self.object_info()).items() if name == node_type}
        if not node_type:
            return await self._http.json("GET", "/object_info", values=MOST_SCHEMA_VALUES)
        return await self._http.json("GET", f"/object_info/{quote(node_type, safe='')}")

    async def system_stats(self) -> dict[str, Any]:
        """Versions, devices and memory of the server."""
        return await self._http.json("GET", "/system_stats")

    async def get_json(self, path: str) -> dict[str, Any]:
        """Any JSON object that the server serves, e.g. `/workflow_templates`."""
        return await self._http.json("GET", path)

    async def free(self) -> None:
        """Unload all models and drop all cached results before the next prompt."""
        await self._http.request("POST", "/free", json={"unload_models": True, "free_memory": True})

    async def _run(self, graph: Graph, socket: aiohttp.ClientWebSocketResponse[bool], follower: Follower) -> Result:
        prompt_id = str(uuid.uuid4())
        try:
            prompt_id = await self._queue(graph, prompt_id)
            await follower.follow(socket, prompt_id)
            entry = await self.history(prompt_id)
            if not entry:
                raise UnexpectedAnswer(
                    f"ComfyClient.run: the server ended {foreign.line(prompt_id)}, but has nothing of it in its "
                    "history. Something cleared the history; run the graph again."
                )
            follower.check(as_object(entry.get("status")))
        except (PromptRejected, ExecutionFailed, ExecutionInterrupted):  # the server is done with it
            raise
        except BaseException:  # cancelled, lost, or on_progress raised: the server must not go on for nobody
            await self._give_up(prompt_id)
            raise
        return Result(prompt_id, dict(as_object(entry.get("outputs"))), frozenset(follower.cached))

    async def _queue(self, graph: Graph, prompt_id: str) -> str:
        """The prompt's id: ours, or the server's own where it does not take one."""
        _check_graph(graph)
        body = {"prompt": graph, "client_id": self.client_id, "prompt_id": prompt_id}
        answer = await self._http.json("POST", "/prompt", json=body)
        given = answer.get("prompt_id")
        if isinstance(given, str) and 0 < len(given) <= LONGEST_ID and foreign.is_plain(given):
            prompt_id = given
        if answer.get("node_errors"):
            # The server runs the valid outputs and drops the others; a caller who asked for all gets an error.
            await self.cancel(prompt_id)
            raise PromptRejected({}, answer["node_errors"])
        return prompt_id

    async def _give_up(self, prompt_id: str) -> None:
        try:
            patience = min(PATIENCE_TO_CANCEL, self._http.timeout / 2)
            await asyncio.wait_for(self.cancel(prompt_id), patience)
        except (ComfyError, asyncio.TimeoutError) as error:  # what ended the run matters more
            why = foreign.line(error or "no answer")
            log.warning("prompt %s could not be taken off %s: %s", foreign.line(prompt_id), self.base_url, why)


def _form(image: bytes, name: str, fields: Mapping[str, str]) -> aiohttp.MultipartWriter:
    """The form of an upload.

    aiohttp's own forms make "a%20b.png" of "a b.png", and a backslash is lost on the way; its server, which ComfyUI is
    built on, takes the extended notation of RFC 5987 for a file's name and gives back exactly what went in.
    """
    if not foreign.is_plain(name):
        raise ValueError(
            f"upload_image: got the name {name!r}, but text without control characters is needed. Pass another name."
        )
    form = aiohttp.MultipartWriter("form-data")
    part = form.append(image)
    part.headers["Content-Disposition"] = f"form-data; name=\"image\"; filename*=utf-8''{quote(name, safe='')}"
    for field, value in fields.items():
        form.append(value).set_content_disposition("form-data", name=field)
    return form


def _check_graph(graph: Graph) -> None:
    for node_id, node in graph.items():
        if not isinstance(node, Mapping) or "class_type" not in node:
            raise ValueError(
                f"ComfyClient: {node_id!r} of the graph is {foreign.line(node, 60)}, but a node with a class_type is "
                "needed. Pass the workflow in the API format (File > Export (API))."
            )
