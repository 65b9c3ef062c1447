"""The client's words, and its conduct towards faults that a real server does not show on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from icedit_core.client import (
    ComfyClient,
    ExecutionFailed,
    ImageRef,
    Progress,
    PromptRejected,
    RequestFailed,
    Result,
    RunTimeout,
    ServerUnreachable,
)

GRAPH = {"1": {"class_type": "Source", "inputs": {}}, "2": {"class_type": "Sink", "inputs": {"x": ["1", 0]}}}


class FaultyServer:
    """Speaks ComfyUI's protocol as far as a test scripts it.

    Attributes:
        script: called with the websocket and the prompt's id once a prompt is queued.
        answer: what POST /prompt answers; None for the usual.
        calls: the paths that were posted to.
    """

    def __init__(self, script: Callable[[web.WebSocketResponse, str], Awaitable[None]] | None = None) -> None:
        self.script = script
        self.answer: web.Response | None = None
        self.history: dict = {}
        self.calls: list[str] = []
        self._queued: asyncio.Queue[str] = asyncio.Queue()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[ComfyClient]:
        app = web.Application()
        app.add_routes(
            [
                web.get("/ws", self._ws),
                web.get("/history/{id}", self._history),
                web.post("/{path:.*}", self._post),
            ]
        )
        async with TestServer(app) as server, ComfyClient(str(server.make_url("")), timeout=5) as client:
            yield client

    async def _post(self, request: web.Request) -> web.Response:
        self.calls.append(request.path)
        if request.path != "/prompt":
            return web.Response()
        prompt_id = (await request.json())["prompt_id"]
        await self._queued.put(prompt_id)
        return self.answer or web.json_response({"prompt_id": prompt_id, "node_errors": {}})

    async def _history(self, request: web.Request) -> web.Response:
        return web.json_response({request.match_info["id"]: self.history})

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if self.script:
            await self.script(socket, await self._queued.get())
        async for message in socket:
            assert message.type is WSMsgType.TEXT
        return socket


async def send(socket: web.WebSocketResponse, kind: str, **data: object) -> None:
    await socket.send_json({"type": kind, "data": data})


async def test_messages_of_other_prompts_previews_and_unknown_kinds_are_passed_over():
    async def script(socket: web.WebSocketResponse, prompt_id: str) -> None:
        await socket.send_bytes(b"\0\0\0\1" + bytes(6_000_000))  # a preview, larger than aiohttp's usual limit
        await send(socket, "status", status={})
        await send(socket, "execution_error", prompt_id="another", node_id="9")
        await send(socket, "executing", prompt_id="another", node=None)
        await send(socket, "news_of_a_later_version", prompt_id=prompt_id)
        await send(socket, "execution_cached", prompt_id=prompt_id, nodes=["1"])
        await send(socket, "executing", prompt_id=prompt_id, node="2")
        await send(socket, "progress", prompt_id=prompt_id, node="2", value=1, max=2)
        await send(socket, "executing", prompt_id=prompt_id, node="2.0.1")
        await send(socket, "executing", prompt_id=prompt_id, node=None)

    server = FaultyServer(script)
    server.history = {"outputs": {"2": {"images": [{"filename": "a.png", "subfolder": "s", "type": "temp"}]}}}
    steps: list[Progress] = []
    async with server.client() as client:
        result = await client.run(GRAPH, steps.append, timeout=5)
    assert steps == [Progress("2", "Sink", 0, 0), Progress("2", "Sink", 1, 2), Progress("2.0.1", "", 0, 0)]
    assert result.cached == {"1"} and result.images() == [ImageRef("a.png", "s", "temp")]


async def test_a_websocket_that_closes_in_mid_run_is_an_error_that_says_where():
    async def script(socket: web.WebSocketResponse, prompt_id: str) -> None:
        await send(socket, "progress", prompt_id=prompt_id, node="2", value=3, max=9)
        await socket.close()

    async with FaultyServer(script).client() as client:
        with pytest.raises(ServerUnreachable, match=r"node 2 \(Sink\), step 3 of 9.*code 1000"):
            await client.run(GRAPH, timeout=5)


async def test_execution_error_is_raised_once_the_server_is_done_with_the_prompt():
    async def script(socket: web.WebSocketResponse, prompt_id: str) -> None:
        error = {"node_id": "2", "node_type": "Sink", "exception_type": "ValueError", "exception_message": "no.\n"}
        await send(socket, "execution_error", prompt_id=prompt_id, **error)
        await send(socket, "executing", prompt_id=prompt_id, node=None)

    server = FaultyServer(script)
    async with server.client() as client:
        with pytest.raises(ExecutionFailed, match=r"^Node 2 \(Sink\): ValueError: no\.$"):
            await client.run(GRAPH, timeout=5)
    assert server.calls == ["/prompt"]  # nothing to cancel: it is over


async def test_timeout_in_the_queue_takes_the_prompt_off():
    server = FaultyServer()
    async with server.client() as client:
        with pytest.raises(RunTimeout, match=r"still waiting in the server's queue after 0\.2 s"):
            await client.run(GRAPH, timeout=0.2)
    assert server.calls == ["/prompt", "/queue", "/interrupt"]


async def test_a_cancelled_task_takes_the_prompt_off():
    started = asyncio.Event()

    async def script(socket: web.WebSocketResponse, prompt_id: str) -> None:
        await send(socket, "executing", prompt_id=prompt_id, node="1")

    server = FaultyServer(script)
    async with server.client() as client:
        run = asyncio.create_task(client.run(GRAPH, lambda step: started.set()))
        await asyncio.wait_for(started.wait(), 5)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
    assert server.calls == ["/prompt", "/queue", "/interrupt"]


async def test_a_proxys_error_page_is_shown_and_not_taken_for_validation():
    server = FaultyServer()
    server.answer = web.Response(status=502, text="<h1>Bad gateway</h1>")
    async with server.client() as client:
        with pytest.raises(RequestFailed, match="502: <h1>Bad gateway") as caught:
            await client.queue(GRAPH)
    assert caught.value.status == 502


async def test_a_server_that_does_not_answer_in_time_is_said_to_be_unreachable():
    async def hang(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    app = web.Application()
    app.add_routes([web.get("/system_stats", hang)])
    async with TestServer(app) as server, ComfyClient(str(server.make_url("")), timeout=0.2) as client:
        with pytest.raises(ServerUnreachable, match=r"no answer within 0\.2 s.*127\.0\.0\.1"):
            await client.system_stats()


async def test_misuse_is_said():
    client = ComfyClient()
    with pytest.raises(ValueError, match="async with"):
        await client.system_stats()
    with pytest.raises(ValueError, match="without a name"):
        await client.upload_image(b"...")


REJECTIONS = [
    (
        {"message": "Prompt has no outputs", "details": ""},
        {},
        "Prompt has no outputs",
    ),
    (
        {"message": "Node 'X' not found.", "details": "Node ID '#4'"},
        {},
        "Node 'X' not found. (Node ID '#4')",
    ),
    (
        {"message": "Prompt outputs failed validation", "details": "Value not in list: image"},
        {
            "1": {
                "class_type": "LoadImage",
                "errors": [
                    {"message": "Value not in list", "details": "image: 'a'", "extra_info": {"input_name": "image"}},
                    {"message": "Exception when validating node", "details": "boom", "extra_info": {}},
                ],
            }
        },
        "Prompt outputs failed validation\n"
        "  node 1 (LoadImage), input 'image': Value not in list (image: 'a')\n"
        "  node 1 (LoadImage): Exception when validating node (boom)",
    ),
]


@pytest.mark.parametrize(("error", "node_errors", "text"), REJECTIONS)
def test_rejections_in_words(error: dict, node_errors: dict, text: str):
    assert str(PromptRejected(error, node_errors)) == text


@pytest.mark.parametrize(
    ("ref", "widget"),
    [
        (ImageRef("a.png", "", "input"), "a.png"),
        (ImageRef("a.png", "b", "input"), "b/a.png"),
        (ImageRef("a.png", "b", "output"), "b/a.png [output]"),
    ],
)
def test_load_image_value(ref: ImageRef, widget: str):
    assert ref.widget == widget


def test_results_text_and_missing_nodes():
    result = Result("id", {"7": {"text": ["one", "two"]}}, frozenset())
    assert result.text("7") == "one\ntwo" and result.text("8") == "" and result.images("8") == []
