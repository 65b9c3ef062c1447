"""The client against whatever a server, a proxy or a broken line may say: the right result or a clear error, soon."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from icedit_core.client import (
    ComfyClient,
    ComfyError,
    ExecutionFailed,
    ImageRef,
    Progress,
    PromptRejected,
    Result,
    UnexpectedAnswer,
)

steady = settings(derandomize=True, deadline=None, database=None)
GRAPH = {"1": {"class_type": "Source", "inputs": {}}, "2": {"class_type": "Sink", "inputs": {"x": ["1", 0]}}}
OUTPUTS = {"2": {"images": [{"filename": "\u732b \u00e9%20#?.png", "subfolder": "", "type": "output"}]}}
OURS = "(ours)"  # stands for the prompt's id in a message

words = st.text(st.sampled_from("ab1/\\%?#&+=. \"'<>\n\r\u00e9\u4f60\u202e\U0001f600"), max_size=12)
atoms = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), words)
odd = st.recursive(
    atoms, lambda some: st.lists(some, max_size=3) | st.dictionaries(words, some, max_size=3), max_leaves=6
)
objects = st.dictionaries(words | st.sampled_from(("error", "node_errors", "prompt_id", "1")), odd, max_size=3)

messages = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(("executing", "execution_error", "x")), "data": odd}),
    st.fixed_dictionaries({"type": odd, "data": st.fixed_dictionaries({"prompt_id": odd, "node": odd})}),
    st.fixed_dictionaries(
        {
            "type": st.just("progress"),
            "data": st.fixed_dictionaries(
                {"prompt_id": st.just(OURS)}, optional={"node": odd, "value": odd, "max": odd}
            ),
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(("execution_cached", "executed", "progress_state", "execution_start", "news")),
            "data": st.fixed_dictionaries({"prompt_id": st.just(OURS)}, optional={"nodes": odd, "output": odd}),
        }
    ),
    objects,
)
frames = st.lists(st.one_of(messages, st.binary(max_size=40)), max_size=12)


class OddServer:
    """Answers what it is told to; records what it was asked.

    Attributes:
        frames: websocket messages once a prompt is queued: bytes, JSON values, or text as it stands.
        answers: path -> (status, body) instead of the usual answer.
        entry: what the history holds of the prompt.
    """

    def __init__(self, frames=(), entry=None, answers=None) -> None:
        self.frames, self.entry, self.answers = frames, entry, answers or {}
        self.posted: list[str] = []
        self.asked: list[str] = []
        self.uploaded: list[str] = []
        self._queued: asyncio.Queue[str] = asyncio.Queue()

    def run(self, use):
        """What `use(client)` gives, with a server of its own."""

        async def all_of_it():
            app = web.Application()
            app.add_routes([web.get("/ws", self._ws), web.route("*", "/{path:.*}", self._any)])
            async with TestServer(app) as server, ComfyClient(str(server.make_url("")), timeout=5) as client:
                return await asyncio.wait_for(use(client), 20)

        return asyncio.run(all_of_it())

    async def _any(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            self.posted.append(request.path)
        else:
            self.asked.append(request.path)
        kind = request.path.split("/")[1]
        if kind == "prompt":
            await self._queued.put((await request.json())["prompt_id"])
        if kind in self.answers:
            status, body = self.answers[kind]
            return web.Response(status=status, body=body)
        if kind == "history":
            return web.json_response({} if self.entry is None else {request.path.split("/")[2]: self.entry})
        if kind == "upload":
            form = await request.post()
            self.uploaded.append(form["image"].filename)
            return web.json_response({"name": form["image"].filename, "subfolder": form["subfolder"], "type": "input"})
        if kind == "view":
            return web.Response(body=request.query["filename"].encode())
        return web.json_response({})

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        prompt_id = await self._queued.get()
        for frame in self.frames:
            if isinstance(frame, bytes):
                await socket.send_bytes(frame)
            else:
                text = frame if isinstance(frame, str) else json.dumps(frame)
                await socket.send_str(text.replace(OURS, prompt_id))
        async for _ in socket:
            pass
        return socket


def ours(kind: str, **data) -> dict:
    return {"type": kind, "data": {"prompt_id": OURS, **data}}


END = ours("executing", node=None)
DONE = {"outputs": OUTPUTS, "status": {"status_str": "success", "completed": True, "messages": []}}
FAILED = {"node_id": "2", "node_type": "Sink", "exception_type": "ValueError", "exception_message": "no"}


@settings(steady, max_examples=60)
@given(frames)
def test_whatever_comes_in_between_the_result_is_the_server_s(noise):
    steps: list[Progress] = []
    server = OddServer([*noise, ours("progress", node="2", value=1, max=2), END], DONE)
    result = server.run(lambda client: client.run(GRAPH, steps.append, timeout=10))
    assert result.outputs == OUTPUTS and result.images() == [ImageRef(OUTPUTS["2"]["images"][0]["filename"])]
    assert steps[-1] == Progress("2", "Sink", 1, 2)
    assert all(isinstance(step.value, int) and isinstance(step.max, int) for step in steps)
    assert server.posted == ["/prompt"]


@settings(steady, max_examples=25)
@given(frames, frames, st.booleans())
def test_a_failure_is_told_though_its_message_is_lost_or_odd(before, after, lost):
    told = [] if lost else [ours("execution_error", **FAILED)]
    status = {"status_str": "error", "completed": False, "messages": [["execution_error", FAILED]]}
    server = OddServer([*before, *told, *after, END], {"outputs": {}, "status": status})
    with pytest.raises(ExecutionFailed, match=r"^Node 2 \(Sink\): ValueError: no$"):
        server.run(lambda client: client.run(GRAPH, timeout=10))


def test_a_failure_without_a_cause_and_a_result_that_was_forgotten_are_errors():
    server = OddServer([END], {"outputs": OUTPUTS, "status": {"status_str": "error", "messages": None}})
    with pytest.raises(ExecutionFailed, match="failed, and not why"):
        server.run(lambda client: client.run(GRAPH, timeout=10))
    server = OddServer([END])
    with pytest.raises(UnexpectedAnswer, match="nothing of it in its history"):
        server.run(lambda client: client.run(GRAPH, timeout=10))


BROKEN = ["", "nonsense", "[]", "null", '"text"', "3", '{"type": "executing", "data": {', "NaN", "[" * 100_000]


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_a_websocket_that_does_not_speak_json_objects_is_said_and_the_prompt_taken_off(text):
    server = OddServer([{"type": "status"}, text, END], DONE)
    with pytest.raises(UnexpectedAnswer, match="the websocket brought .*ComfyUI sends JSON objects") as caught:
        server.run(lambda client: client.run(GRAPH, timeout=10))
    assert len(str(caught.value)) < 400
    assert server.posted == ["/prompt", "/queue", "/interrupt"]


bodies = st.one_of(st.binary(max_size=60), odd.map(json.dumps).map(str.encode), objects.map(json.dumps).map(str.encode))


@settings(steady, max_examples=80)
@given(st.sampled_from(("prompt", "history", "system_stats", "object_info", "upload")),
       st.sampled_from((200, 200, 400, 404, 500)), bodies)  # fmt: skip
def test_any_answer_to_a_request_is_an_object_or_a_clear_error(kind, status, body):
    server = OddServer([END], DONE, {kind: (status, body)})
    calls = {
        "prompt": lambda client: client.run(GRAPH, timeout=10),
        "history": lambda client: client.history("1"),
        "system_stats": lambda client: client.system_stats(),
        "object_info": lambda client: client.object_info("X"),
        "upload": lambda client: client.upload_image(b"...", "a.png"),
    }
    try:
        answer = server.run(calls[kind])
    except ComfyError as error:
        assert str(error).replace("\n", "").isprintable() or isinstance(error, PromptRejected)
        assert len(str(error)) < 1000
    else:
        assert status == 200 and isinstance(json.loads(body), dict)
        assert isinstance(answer, dict | Result | ImageRef)


def test_a_server_that_gives_prompts_ids_of_its_own_is_followed_by_those():
    body = json.dumps({"prompt_id": "another", "node_errors": {}}).encode()
    end = {"type": "executing", "data": {"prompt_id": "another", "node": None}}
    server = OddServer([end], DONE, {"prompt": (200, body)})
    assert server.run(lambda client: client.run(GRAPH, timeout=10)).prompt_id == "another"
    assert server.asked == ["/history/another"]


names = st.text(st.sampled_from("ab./\\%25?#&+=;: \"'<>(){}\u00e9\u4f60\u202e\U0001f600"), min_size=1, max_size=20)


@settings(steady, max_examples=60)
@given(names)
@example(".")
@example("..")
def test_names_of_files_and_nodes_arrive_as_they_are(name):
    server = OddServer()

    async def all_three(client: ComfyClient):
        await client.object_info(name)
        return await client.upload_image(b"...", name), await client.download(ImageRef(name))

    uploaded, downloaded = server.run(all_three)
    assert server.asked[0] == ("/object_info" if name in (".", "..") else f"/object_info/{name}")
    assert server.uploaded == [name] and uploaded.filename == name
    assert downloaded == name.encode()


@pytest.mark.parametrize("name", ["a\nb.png", "a\rContent-Type: x", "\udce9.png", "a\0"])
def test_a_name_that_no_header_can_carry_is_said(name):
    with pytest.raises(ValueError, match="upload_image: got the name .* without control characters"):
        OddServer().run(lambda client: client.upload_image(b"...", name))


@settings(steady, max_examples=100)
@given(st.dictionaries(words, st.dictionaries(st.sampled_from(("images", "text", "x")), odd) | odd, max_size=3))
@example({"1": {"text": "one piece"}})
def test_outputs_of_any_form_are_images_and_text_or_a_clear_error(outputs):
    result = Result("id", outputs, frozenset())
    for node_id, shown in outputs.items():
        text = shown.get("text") if isinstance(shown, dict) else None
        lines = text if isinstance(text, list) else [text] if isinstance(text, str) else []
        assert result.text(node_id) == "\n".join(map(str, lines))
    try:
        images = result.images()
    except UnexpectedAnswer as error:
        assert "an image with a file name is needed" in str(error)
    else:
        assert all(isinstance(image, ImageRef) and image.filename for image in images)


@settings(steady, max_examples=100)
@given(odd, odd)
def test_a_rejection_of_any_form_has_words(error, node_errors):
    assert str(PromptRejected(error, node_errors))
    assert str(ExecutionFailed({"traceback": error, "exception_message": node_errors}))


def test_a_workflow_in_the_canvas_s_format_is_said():
    with pytest.raises(ValueError, match=r"'nodes' of the graph is \[\].*API format"):
        OddServer().run(lambda client: client.run({"nodes": [], "links": []}))
