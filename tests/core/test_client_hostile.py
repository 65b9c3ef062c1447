"""The client against a server that means harm: what it sends is data, read within limits of size and time."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import time
import tracemalloc
import zlib
from contextlib import asynccontextmanager
from unittest import mock

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from icedit_core.client import ComfyClient, ComfyError, ImageRef, RequestFailed, RunTimeout, UnexpectedAnswer, answers
from icedit_core.client.news import MOST_NEWS, News

GRAPH = {"1": {"class_type": "Source", "inputs": {}}}
MB = 2**20
CODES = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\r\x00\x9b"


@asynccontextmanager
async def serving(*routes: web.RouteDef, timeout: float = 5.0):
    """A client of a server with these routes."""
    app = web.Application()
    app.add_routes(routes)
    async with TestServer(app) as server, ComfyClient(str(server.make_url("")), timeout=timeout) as client:
        yield client


def answering(body: bytes, **headers: str):
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_none_is_followed_whatever_is_asked(self, status):
        visits = []

        async def elsewhere(request: web.Request) -> web.Response:
            visits.append(request.path)
            return web.json_response({"name": "a.png", "prompt_id": "1"})

        async def redirect(request: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": f"/elsewhere{request.path}"})

        routes = [web.route("*", "/elsewhere/{path:.*}", elsewhere), web.route("*", "/{path:.*}", redirect)]
        async with serving(*routes) as client:
            asked = [
                lambda: client.upload_image(b"picture", "a.png"),
                lambda: client.queue(GRAPH),
                lambda: client.run(GRAPH, timeout=5),
                lambda: client.download(ImageRef("a.png")),
                client.system_stats,
            ]
            for ask in asked:
                with pytest.raises(ComfyError, match="points to another address .*but no redirect is followed"):
                    await ask()
        assert visits == []


class TestSizes:
    async def test_a_compressed_answer_is_read_within_its_limit(self):
        packed = gzip.compress(bytes(400 * MB))
        routes = [
            web.get("/view", answering(packed, Content_Encoding="gzip")),
            web.get("/system_stats", answering(packed, Content_Encoding="gzip")),
        ]
        async with serving(*routes, timeout=30) as client:
            tracemalloc.start()
            try:
                with pytest.raises(UnexpectedAnswer, match="more than 16 MB came"):
                    await client.system_stats()
                with pytest.raises(UnexpectedAnswer, match="more than 256 MB came"):
                    async for _ in client.download_pieces(ImageRef("a.png")):
                        pass
                assert tracemalloc.get_traced_memory()[1] < 40 * MB
            finally:
                tracemalloc.stop()

    @pytest.mark.parametrize(("way", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
    async def test_an_honest_compressed_answer_is_unpacked(self, way, pack):
        whole = json.dumps({"devices": list(range(50_000))}).encode()
        async with serving(web.get("/system_stats", answering(pack(whole), Content_Encoding=way))) as client:
            assert await client.system_stats() == json.loads(whole)

    @pytest.mark.parametrize(
        ("body", "way", "words"),
        [
            (b"no gzip", "gzip", "compression is damaged"),
            (gzip.compress(b"{}" * 9000)[:-9], "gzip", "has no end"),
            (b"{}", f"br{CODES[:4]}".replace("\x1b", ""), "encoded as br"),
        ],
    )
    async def test_damaged_ones_are_said(self, body, way, words):
        async with serving(web.get("/system_stats", answering(body, Content_Encoding=way))) as client:
            with pytest.raises(UnexpectedAnswer, match=words):
                await client.system_stats()

    async def test_an_endless_answer_ends(self):
        async def endless(request: web.Request) -> web.StreamResponse:
            answer = web.StreamResponse()
            await answer.prepare(request)
            while True:
                await answer.write(bytes(MB))

        async with serving(web.get("/system_stats", endless), timeout=20) as client:
            with pytest.raises(UnexpectedAnswer, match="more than 16 MB came"):
                await client.system_stats()

    @pytest.mark.parametrize(
        "head",
        [
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"HTTP/1.1 200 OK\r\nA: ",
        ],
    )
    async def test_endless_headers_end(self, head):
        async def endless(request: web.Request) -> web.StreamResponse:
            request.transport.write(head)
            while not request.transport.is_closing():
                request.transport.write(b"A" * MB if head.endswith(b"A: ") else b"A: b\r\n" * 10_000)
                await asyncio.sleep(0)
            return web.Response()

        async with serving(web.get("/system_stats", endless), timeout=20) as client:
            with pytest.raises(ComfyError, match="Too many headers|more than 8190 bytes"):
                await client.system_stats()

    async def test_a_few_megabytes_of_many_values_are_no_answer(self):
        body = b'{"a":[' + b"{}," * 2_000_000 + b"0]}"
        async with serving(web.get("/system_stats", answering(body))) as client:
            tracemalloc.start()
            try:
                with pytest.raises(UnexpectedAnswer, match="ComfyUI answers a JSON object"):
                    await client.system_stats()
                assert tracemalloc.get_traced_memory()[1] < 40 * MB  # 2 million dictionaries take 144
            finally:
                tracemalloc.stop()

    async def test_a_large_websocket_message_is_refused(self):
        async with running(lambda socket, _: socket.send_str("x" * 17 * MB)) as client:
            with pytest.raises(ComfyError, match="lost the server|exceeds"):
                await client.run(GRAPH, timeout=10)

    async def test_the_limit_of_an_error_page_too(self):
        async def refuse(_: web.Request) -> web.Response:
            return web.Response(status=500, body=bytes(17 * MB))

        async with serving(web.get("/system_stats", refuse)) as client:
            with pytest.raises(UnexpectedAnswer, match="more than 16 MB came"):
                await client.system_stats()


@asynccontextmanager
async def running(script, *, timeout: float = 5.0, prompt_id: str | None = None):
    """A client of a server that queues anything and then lets `script(socket, prompt_id)` talk."""
    queued: asyncio.Queue[str] = asyncio.Queue()

    async def queue(request: web.Request) -> web.Response:
        given = (await request.json())["prompt_id"]
        await queued.put(given)
        return web.json_response({"prompt_id": prompt_id or given})

    async def ws(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await script(socket, await queued.get())
        async for _ in socket:
            pass
        return socket

    post = web.post("/{path:.*}", answering(b"{}"))
    async with serving(web.get("/ws", ws), web.post("/prompt", queue), post, timeout=timeout) as client:
        yield client


class TestTime:
    async def test_a_silent_websocket_and_one_that_repeats_itself_are_given_up(self):
        async def silent(_socket: web.WebSocketResponse, _prompt_id: str) -> None:
            await asyncio.sleep(30)

        async def repeats(socket: web.WebSocketResponse, prompt_id: str) -> None:
            step = {"type": "progress", "data": {"prompt_id": prompt_id, "node": "1", "value": 1, "max": 9}}
            while True:
                await socket.send_json(step)
                await socket.send_bytes(bytes(100))
                await socket.send_json({"type": "crystools.monitor", "data": {"time": time.time()}})
                await asyncio.sleep(0.05)

        async def goes_round(socket: web.WebSocketResponse, prompt_id: str) -> None:
            for turn in itertools.count():
                for node, value in (("1", turn % 3), ("2", 5 - turn % 2), ("1", 0)):
                    step = {"prompt_id": prompt_id, "node": node, "value": value, "max": 9, "again": turn}
                    await socket.send_json({"type": "progress", "data": step})
                    await socket.send_json({"type": "executing", "data": {"prompt_id": prompt_id, "node": node}})
                    await socket.send_json({"type": f"new {turn}", "data": {"prompt_id": prompt_id}})
                await asyncio.sleep(0.05)

        for script in (silent, repeats, goes_round):
            async with running(script) as client:
                before = time.monotonic()
                with pytest.raises(RunTimeout, match=r"no news for 0\.5 s"):
                    await client.run(GRAPH, silence=0.5)
                assert time.monotonic() - before < 3

    def test_what_is_invented_without_end_is_no_news(self):
        news = News()
        bars = [news.is_news("progress", {"node": str(i), "value": 0, "max": 9}, True) for i in range(MOST_NEWS + 9)]
        assert sum(bars) == MOST_NEWS and bars[0]
        assert not news.is_news("executing", {"node": "new"}, True)

    def test_a_bar_that_was_finished_may_begin_again(self):
        news = News()
        steps = [{"node": "1", "value": value, "max": 2} for value in (0, 1, 2, 2, 0, 1, 0, 2)]
        told = [news.is_news("progress", step, True) for step in steps]
        assert told == [True, True, True, False, True, True, False, True]
        assert not news.is_news("progress", {"node": "1", "value": [[]], "max": 2}, True)
        lengths = [{"status": {"exec_info": {"queue_remaining": n}}} for n in (3, 3, 2)]
        assert [news.is_news("status", length, False) for length in lengths] == [True, False, True]

    async def test_news_renews_the_time(self):
        async def slow(socket: web.WebSocketResponse, prompt_id: str) -> None:
            for value in range(8):
                step = {"prompt_id": prompt_id, "node": "1", "value": value, "max": 9}
                await socket.send_json({"type": "progress", "data": step})
                await asyncio.sleep(0.15)
            await asyncio.sleep(30)

        steps = []
        async with running(slow) as client:
            with pytest.raises(RunTimeout, match="no news for"):
                await client.run(GRAPH, steps.append, silence=0.5)
        assert [step.value for step in steps] == list(range(8))  # 1.2 s

    async def test_another_id_than_ours_does_not_hang(self):
        async def talk(socket: web.WebSocketResponse, prompt_id: str) -> None:
            while True:
                await socket.send_json({"type": "executing", "data": {"prompt_id": prompt_id, "node": None}})
                await asyncio.sleep(0.05)

        async with running(talk, prompt_id="other") as client:
            with pytest.raises(RunTimeout, match=r"no news for 0\.5 s, still waiting"):
                await client.run(GRAPH, silence=0.5)

    async def test_a_drip_is_given_up_by_its_pace_and_a_steady_download_goes_on(self):
        def in_pieces(size: int, pause: float):
            async def send(request: web.Request) -> web.StreamResponse:
                answer = web.StreamResponse()
                await answer.prepare(request)
                for _ in range(16):
                    await answer.write(bytes(size))
                    await asyncio.sleep(pause)
                return answer

            return send

        async with serving(web.get("/view", in_pieces(1, 0.2)), timeout=0.8) as client:
            with pytest.raises(ComfyError, match=r"no answer within 0\.8 s"):
                await client.download(ImageRef("a.png"))
        async with serving(web.get("/view", in_pieces(2**17, 0.1)), timeout=0.8) as client:
            assert len(await client.download(ImageRef("a.png"))) == 16 * 2**17


class TestWords:
    async def test_nothing_raw_is_in_an_error(self):
        async def refuse(_: web.Request) -> web.Response:
            return web.Response(status=400, text=f"no{CODES}")

        fault = {"node_id": f"1{CODES}", "node_type": CODES, "exception_type": CODES, "exception_message": CODES + "x"}

        async def fail(socket: web.WebSocketResponse, prompt_id: str) -> None:
            await socket.send_json({"type": "execution_error", "data": {"prompt_id": prompt_id, **fault}})
            await socket.send_json({"type": "executing", "data": {"prompt_id": prompt_id, "node": None}})

        texts = []
        async with serving(web.get("/system_stats", refuse)) as client:
            with pytest.raises(RequestFailed) as caught:
                await client.system_stats()
            texts.append(str(caught.value))
        async with running(fail) as client:
            with pytest.raises(ComfyError) as failed:
                await client.run(GRAPH, timeout=5)
            texts.append(str(failed.value))
        assert all("\\x1b" in text and text.isprintable() for text in texts), texts

    @pytest.mark.parametrize(
        "body", [b'{"a": "\xff"}', b'{"\xc0\xaf": 1}', '{"a": 1}'.encode("utf-16"), b'{"a": "\xed\xa0\x80"}']
    )
    async def test_json_that_is_no_utf_8_is_not_taken(self, body):
        assert answers.parse_object(body) is None and answers.parse_object(b'{"a": 1}') == {"a": 1}
        async with serving(web.get("/system_stats", answering(body))) as client:
            with pytest.raises(UnexpectedAnswer, match="ComfyUI answers a JSON object"):
                await client.system_stats()

    async def test_too_large_an_upload_has_a_remedy(self):
        async def refuse(_: web.Request) -> web.Response:
            raise web.HTTPRequestEntityTooLarge(max_size=1, actual_size=2)

        async with serving(web.post("/upload/image", refuse)) as client:
            with pytest.raises(RequestFailed, match="413.*--max-upload-size"):
                await client.upload_image(b"picture", "a.png")

    @pytest.mark.parametrize("given", [7, "a\x1bb", "x" * 300, [1], None, ""])
    async def test_an_odd_id_is_not_taken(self, given):
        async with serving(web.post("/prompt", answering(json.dumps({"prompt_id": given}).encode()))) as client:
            with mock.patch("uuid.uuid4", return_value="ours"):
                assert await client.queue(GRAPH) == "ours"

    @pytest.mark.parametrize(
        "entry",
        [None, 7, {}, {"filename": 3}, {"filename": "a\0b"}, {"filename": "x" * 2000}, {"filename": "a", "type": [1]}],
    )
    def test_a_picture_without_a_name_that_a_file_can_have(self, entry):
        with pytest.raises(UnexpectedAnswer, match="image with a file name is needed"):
            ImageRef.parse(entry)


def test_limits():
    assert (answers.JSON_LIMIT, answers.PICTURE_LIMIT) == (16 * MB, 256 * MB) and answers.MESSAGE_LIMIT <= 16 * MB


@pytest.mark.parametrize("kind", [["executing"], {"type": "executing"}, None, 1.5, True])
def test_a_message_whose_type_is_no_word_is_no_news(kind: object):
    assert not News().is_news(kind, {"node": "1"}, ours=True)
