"""A server that answers `icedit edit` from end to end, each answer of which a test may replace."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from aiohttp import web
from PIL import Image

from icedit_core.cli import main

GRAPH = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
    "2": {"class_type": "ICEditPrompt", "inputs": {"instruction": "x"}, "_meta": {"title": "What to change"}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
}
SCHEMAS = {
    "LoadImage": {"input": {"required": {"image": [["x.png"], {}]}}},
    "ICEditPrompt": {"input": {"required": {"instruction": ["STRING", {}]}}},
    "SaveImage": {"input": {"required": {"images": ["IMAGE", {}]}}},
    "ICEditDiptych": {"input": {}, "python_module": "custom_nodes.ICEdit"},
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def picture(kind: str = "PNG", size: tuple[int, int] = (8, 6), mode: str = "RGB") -> bytes:
    packed = io.BytesIO()
    Image.new(mode, size, (200, 30, 60, 128)[: len(mode)]).save(packed, kind)
    return packed.getvalue()


class StandIn:
    """A well-behaved ComfyUI.

    Attributes:
        names: what it calls the pictures; `files` has their bytes by name, `picture()` for others.
        handlers: the first part of a path, e.g. "view" -> what answers it instead.
        notes: what the ICEditPrompt node shows.
    """

    def __init__(self) -> None:
        self.names: list = ["demo_00001_.png"]
        self.files: dict[str, bytes] = {}
        self.handlers: dict[str, Handler] = {}
        self.notes: list = []
        self.graph: object = GRAPH
        self.schemas: dict = SCHEMAS
        self.talk: Callable[[web.WebSocketResponse, str], Awaitable[None]] = self._run
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        part = request.path.split("/")[1]
        handler = self.handlers.get(part) or getattr(self, f"_{part}", None)
        return await handler(request) if handler else web.json_response({})

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await self.talk(socket, await self._queued.get())
        async for _ in socket:
            pass
        return socket

    async def _run(self, socket: web.WebSocketResponse, prompt_id: str) -> None:
        for node in (*GRAPH, None):
            await socket.send_json({"type": "executing", "data": {"prompt_id": prompt_id, "node": node}})

    async def _api(self, request: web.Request) -> web.Response:
        return web.json_response(self.graph)

    async def _object_info(self, request: web.Request) -> web.Response:
        kind = request.path.split("/")[-1]
        return web.json_response({kind: self.schemas[kind]} if kind in self.schemas else {})

    async def _upload(self, request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"name": "in.png", "type": "input"})

    async def _prompt(self, request: web.Request) -> web.Response:
        prompt_id = (await request.json())["prompt_id"]
        await self._queued.put(prompt_id)
        return web.json_response({"prompt_id": prompt_id})

    async def _history(self, request: web.Request) -> web.Response:
        images = [name if isinstance(name, (dict, list)) else {"filename": name} for name in self.names]
        outputs = {"2": {"text": self.notes}, "3": {"images": images}}
        return web.json_response({request.path.split("/")[-1]: {"outputs": outputs, "status": {}}})

    async def _view(self, request: web.Request) -> web.Response:
        return web.Response(body=self.files.get(request.query["filename"]) or picture())

    @contextmanager
    def serving(self) -> Iterator[StandIn]:
        """Serve from a thread of its own, for the command runs its own loop."""
        loop = asyncio.new_event_loop()
        ready: list[web.AppRunner] = []

        async def start() -> None:
            self._queued: asyncio.Queue[str] = asyncio.Queue()
            app = web.Application(client_max_size=2**30)
            app.add_routes([web.route("*", "/{path:.*}", self.answer)])
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            ready.append(runner)

        loop.run_until_complete(start())
        thread = Thread(target=loop.run_forever)
        thread.start()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(ready[0].cleanup(), loop).result(20)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(20)
            loop.close()

    def edit(self, folder: Path, *arguments: str) -> int:
        """Run the command on a picture that is put into `folder`; its paths in `arguments` are absolute."""
        source = folder / "photo.png"
        if not source.exists():
            source.write_bytes(picture())
        return main.main(["edit", str(source), "make it blue", "--server", self.url, "--timeout", "2", *arguments])


def as_json(value: object) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=json.dumps(value).encode(), content_type="application/json")

    return answer
