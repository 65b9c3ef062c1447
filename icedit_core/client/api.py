"""The client itself: one HTTP session, one method per thing the server can do."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

from .errors import ComfyError, PromptRejected, RequestFailed, RunTimeout, ServerUnreachable
from .follow import Follower
from .messages import Graph, ImageRef, Progress, Result

log = logging.getLogger(__name__)

PING_EVERY = 60.0  # seconds; far above what loading a model holds the server's event loop for


class ComfyClient:
    """One connection to a ComfyUI server; use it with `async with`.

    Args:
        base_url: e.g. `http://127.0.0.1:8188`.
        timeout: seconds that a single request may take (a whole run has its own limit, see `run`).
    """

    def __init__(self, base_url: str = "http://127.0.0.1:8188", *, timeout: float = 60.0) -> None:
        self.base_url = base_url.rstrip("/")
        self.client_id = uuid.uuid4().hex
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> ComfyClient:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

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
        """
        if isinstance(image, Path):
            name = name or image.name
            image = image.read_bytes()
        if not name:
            raise ValueError("upload_image: got bytes without a name, but the server needs one. Pass name='image.png'.")
        form = aiohttp.FormData()
        form.add_field("image", image, filename=name, content_type="application/octet-stream")
        form.add_field("subfolder", subfolder)
        form.add_field("type", "input")
        form.add_field("overwrite", "true" if overwrite else "false")
        return ImageRef.parse(await self._json("POST", "/upload/image", data=form))

    async def queue(self, graph: Graph) -> str:
        """Queue a graph without waiting for it.

        Returns:
            the prompt's id.
        Raises:
            PromptRejected: the server found the graph, or a part of it, invalid; nothing of it runs then.
        """
        prompt_id = str(uuid.uuid4())
        await self._queue(graph, prompt_id)
        return prompt_id

    async def run(
        self, graph: Graph, on_progress: Callable[[Progress], None] | None = None, *, timeout: float | None = None
    ) -> Result:
        """Queue a graph and follow it to its end.

        Args:
            on_progress: called for every node that begins and every step that a node reports.
            timeout: seconds for queueing, waiting in the queue and running together; None waits for ever.
        Raises:
            PromptRejected: validation failed.
            ExecutionFailed: a node raised.
            ExecutionInterrupted: someone interrupted it.
            RunTimeout: the time was up. As for any other way out before the end (a cancelled task, an exception
                in on_progress), the prompt is taken off the server.
            ServerUnreachable: the server went away.
        """
        follower = Follower(graph, on_progress)
        try:
            async with await self._websocket() as socket:
                return await asyncio.wait_for(self._run(graph, socket, follower), timeout)
        except asyncio.TimeoutError as error:
            raise RunTimeout(
                f"ComfyClient.run: {follower.place()} after {timeout:g} s, but it had to be done by then. "
                "Allow more time or make the graph smaller."
            ) from error

    async def history(self, prompt_id: str) -> dict[str, Any]:
        """What the server keeps of a finished prompt ({} while it waits or runs)."""
        entry: dict[str, Any] = (await self._json("GET", f"/history/{prompt_id}")).get(prompt_id, {})
        return entry

    async def download(self, image: ImageRef) -> bytes:
        """The bytes of an image file on the server, untouched."""
        query = {"filename": image.filename, "subfolder": image.subfolder, "type": image.type}
        return await self._request("GET", "/view", params=query)

    async def interrupt(self, prompt_id: str | None = None) -> None:
        """Stop that prompt if it is the one that runs; without an id, whatever runs."""
        await self._request("POST", "/interrupt", json={"prompt_id": prompt_id} if prompt_id else {})

    async def cancel(self, prompt_id: str) -> None:
        """Take a prompt off the server, whether it waits or runs."""
        await self._request("POST", "/queue", json={"delete": [prompt_id]})
        await self.interrupt(prompt_id)

    async def object_info(self, node_type: str | None = None) -> dict[str, Any]:
        """The schema of one node type ({} if the server does not have it), or of all."""
        info: dict[str, Any] = await self._json("GET", f"/object_info/{node_type}" if node_type else "/object_info")
        return info

    async def system_stats(self) -> dict[str, Any]:
        """Versions, devices and memory of the server."""
        stats: dict[str, Any] = await self._json("GET", "/system_stats")
        return stats

    async def free(self) -> None:
        """Unload all models and drop all cached results before the next prompt."""
        await self._request("POST", "/free", json={"unload_models": True, "free_memory": True})

    async def _run(self, graph: Graph, socket: aiohttp.ClientWebSocketResponse[bool], follower: Follower) -> Result:
        prompt_id = str(uuid.uuid4())
        try:
            await self._queue(graph, prompt_id)
            await follower.follow(socket, prompt_id)
        except ComfyError:
            raise
        except BaseException:  # cancelled, or on_progress raised: the server must not go on for nobody
            await self._give_up(prompt_id)
            raise
        entry = await self.history(prompt_id)
        return Result(prompt_id, entry.get("outputs", {}), frozenset(follower.cached))

    async def _queue(self, graph: Graph, prompt_id: str) -> None:
        body = {"prompt": graph, "client_id": self.client_id, "prompt_id": prompt_id}
        answer = await self._json("POST", "/prompt", json=body)
        if answer.get("node_errors"):
            # The server runs the valid outputs and drops the others; a caller who asked for all gets an error.
            await self.cancel(prompt_id)
            raise PromptRejected({}, answer["node_errors"])

    async def _give_up(self, prompt_id: str) -> None:
        try:
            await asyncio.wait_for(asyncio.shield(self.cancel(prompt_id)), 10.0)
        except (ComfyError, asyncio.TimeoutError) as error:  # what ended the run matters more
            log.warning("prompt %s could not be taken off %s: %s", prompt_id, self.base_url, error)

    async def _websocket(self) -> aiohttp.ClientWebSocketResponse[bool]:
        try:
            # Previews may be larger than aiohttp's limit for a message: max_msg_size=0 lifts it.
            return await self._open().ws_connect(
                f"{self.base_url}/ws", params={"clientId": self.client_id}, heartbeat=PING_EVERY, max_msg_size=0
            )
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise self._unreachable(error) from error

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        return json.loads(await self._request(method, path, **options))

    async def _request(self, method: str, path: str, **options: Any) -> bytes:
        try:
            async with self._open().request(method, self.base_url + path, **options) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise self._unreachable(error) from error
        if answer.status >= 400:
            raise _refusal(f"{method} {path}", answer.status, body)
        return body

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise ValueError("ComfyClient: used outside of its context. Write 'async with ComfyClient(url) as c:'.")
        return self._session

    def _unreachable(self, error: BaseException) -> ServerUnreachable:
        what = f"no answer within {self._timeout:g} s" if isinstance(error, asyncio.TimeoutError) else str(error)
        return ServerUnreachable(f"ComfyClient: {what or type(error).__name__}. Is ComfyUI running at {self.base_url}?")


def _refusal(request: str, status: int, body: bytes) -> ComfyError:
    words = body.decode("utf-8", "replace").strip()
    if request == "POST /prompt":
        try:
            data = json.loads(words)
            return PromptRejected(data.get("error") or {}, data.get("node_errors") or {})
        except (ValueError, AttributeError):  # not the server's validation, e.g. a proxy's page
            pass
    return RequestFailed(f"{request}: the server said {status}: {words[:500] or 'nothing more'}", status)
