"""A ComfyUI that means harm: for every round, one or all of its answers are drawn from a seed.

A round is the first part of the server's path, so that each can be had again: `http://127.0.0.1:PORT/17`.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import struct
import zlib
from functools import cache

from aiohttp import web

from .comfy_stand_in import GRAPH, SCHEMAS, StandIn, picture

MB = 2**20
CODES = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x1b]0;t\x07\r\x00\x9b1A\u202e\u2028"
SURROGATE = "\ud800"
DEEP = 50_000
WAYS = {"plain": 70, "gzip": 4, "bomb": 4, "endless": 3, "drip": 2, "silent": 2, "raw": 4, "redirect": 6, "cut": 3}
"""How an answer is sent, and how often."""
NAMES = [
    ".bashrc", "../../../x.png", "/etc/passwd", "C:\\con.png", "nul", "a\0.png", f"{CODES}.png", "n" * 900, SURROGATE,
    "main.py", "photo.png", "keep.txt", "-rf.png", ".", "/", "", "a.png ", "\u732b.png", "keep.png", "out/keep.png",
]  # fmt: skip
NOT_JSON = (
    b"",
    b"null",
    b"[]",
    b"7",
    b"\xff" * 3000,
    b"[" * DEEP,
    b'{"a":' * DEEP,
    b"<html>",
    CODES.encode("utf-8", "replace"),
)
PARTS = ("api", "object_info", "upload", "prompt", "ws", "history", "view", "queue", "interrupt")


def odd(chance: random.Random, depth: int = 0):
    """Any JSON value, with what may do harm in it."""
    simple = [None, True, 0, -1, 10**30, float("nan"), 1e308, "", CODES, SURROGATE, "x" * 3000, "1", [], {}]
    if depth > 2 or chance.random() < 0.6:
        return chance.choice(simple)
    if chance.random() < 0.5:
        return [odd(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {chance.choice(("1", "2", CODES, "errors", "type", "message")): odd(chance, depth + 1) for _ in range(3)}


def entry(chance: random.Random):
    """A picture in a node's output."""
    name = chance.choice(NAMES)
    return chance.choice(({"filename": name}, {"filename": name, "subfolder": "..", "type": "temp"}, odd(chance)))


def changed(chance: random.Random, value):
    """A well-formed answer with one part of it replaced by something odd."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value))
        return {**value, key: changed(chance, value[key])}
    if isinstance(value, list) and value and chance.random() < 0.8:
        return [*value[:-1], changed(chance, value[-1])]
    return odd(chance)


@cache
def bomb() -> bytes:
    return gzip.compress(bytes(400 * MB), 9)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@cache
def pictures() -> tuple[bytes, ...]:
    """What may come instead of a picture, and pictures that unpack to much."""
    start, end = b"\x89PNG\r\n\x1a\n", chunk(b"IEND", b"")
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0))
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100 * MB), 9))
    large = chunk(b"IDAT", zlib.compress(bytes(MB)))
    small = chunk(b"IHDR", struct.pack(">IIBBBBB", 5000, 5000, 8, 6, 0, 0, 0))
    return (
        b"<html>no picture</html>", b"", b"MZ" + bytes(3000), b"#!/bin/sh\nrm -rf ~\n", picture()[:40],
        picture() + b"#!", start + header + text + large + end, start + small + text + large + end,
        start + b"\xff\xff\xff\xffIDAT" + bytes(999),
        picture("JPEG"), picture("WEBP"), picture("JPEG")[:200] + b"\xff\xd9", picture("GIF"), picture("TIFF"),
        start + small + chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(200 * MB), 9)) + large + end,
        b"RIFF" + struct.pack("<I", 12) + b"WEBPVP8X" + bytes(4),
        picture(size=(6000, 5000), mode="RGBA"), picture(size=(3500, 3500), mode="RGBA"),
        picture(size=(17000, 9)),
        b"\xff\xd8\xff" + b"\xff\xe1\xff\xff" * 300_000 + b"\xff\xd9",
    )  # fmt: skip


class HostileComfy(StandIn):
    """The server.

    Attributes:
        strays: paths that were asked for where a redirect had pointed.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.strays: list[str] = []
        self._prompts: dict[str, asyncio.Queue[str]] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except ConnectionError:  # the client has left
            return web.Response()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        round_, _, path = request.path[1:].partition("/")
        part = path.split("/")[0]
        if round_ == "elsewhere":
            self.strays.append(request.path)
            return web.json_response({"name": "a.png", "prompt_id": "1"})
        plan = random.Random(f"{self.seed} {round_}")
        hurt = PARTS if plan.random() < 0.25 else (plan.choice(PARTS),)
        chance = random.Random(f"{self.seed} {round_} {path}")
        if part == "ws":
            return await self._talk(request, round_, chance if part in hurt else None)
        prompt_id = ""
        if part == "prompt":
            prompt_id = (await request.json())["prompt_id"]
            await self._queue_of(round_).put(prompt_id)
        value = self._usual(part, path, prompt_id)
        if part not in hurt:
            return web.Response(body=value if isinstance(value, bytes) else json.dumps(value).encode())
        await request.read()
        return await self._send(request, chance, self._body(part, value, chance))

    def _queue_of(self, round_: str) -> asyncio.Queue[str]:
        return self._prompts.setdefault(round_, asyncio.Queue())

    def _usual(self, part: str, path: str, prompt_id: str):
        last = path.split("/")[-1]
        if part == "view":
            return picture()
        images = [{"filename": "a.png"}, {"filename": "b.png", "type": "output", "subfolder": ""}]
        outputs = {"2": {"text": ["note"]}, "3": {"images": images}}
        return {
            "api": GRAPH,
            "object_info": {last: SCHEMAS.get(last, {})},
            "upload": {"name": "in.png", "type": "input"},
            "prompt": {"prompt_id": prompt_id, "node_errors": {}},
            "history": {last: {"outputs": outputs, "status": {"status_str": "success", "messages": []}}},
        }.get(part, {})

    def _body(self, part: str, value, chance: random.Random) -> bytes:
        if part == "view":
            return chance.choice(pictures())
        if part == "history" and chance.random() < 0.6:
            images = [entry(chance) for _ in range(chance.choice((1, 3, 20)))]
            notes = [f"note {CODES}\nicedit edit: all is well", odd(chance)]
            value = {key: {"outputs": {"2": {"text": notes}, "3": {"images": images}}, "status": {}} for key in value}
        elif part == "prompt" and chance.random() < 0.6:
            fault = {"type": "value_not_in_list", "message": CODES, "details": odd(chance), "extra_info": odd(chance)}
            value = {
                **value,
                "node_errors": {"1": {"errors": [fault, odd(chance)], "class_type": CODES}, CODES: odd(chance)},
            }
        elif chance.random() < 0.15:
            return chance.choice(NOT_JSON)
        elif chance.random() < 0.1:
            return b'{"a":[' + b"{}," * 5_000_000 + b"0]}"
        else:
            value = changed(chance, value)
        return json.dumps(value).encode()

    async def _send(self, request: web.Request, chance: random.Random, body: bytes) -> web.StreamResponse:
        (way,) = chance.choices(tuple(WAYS), tuple(WAYS.values()))
        (status,) = chance.choices((200, 400, 404, 413, 500), (85, 4, 4, 3, 4))
        if way == "plain":
            return web.Response(status=status, body=body)
        if way in ("gzip", "bomb"):
            packed = gzip.compress(body) if way == "gzip" else bomb()
            return web.Response(status=status, body=packed, headers={"Content-Encoding": "gzip"})
        if way == "redirect":
            place = f"{self.url}/elsewhere/{request.path}" + chance.choice(("", "?a=%1b[2J"))
            return web.Response(status=chance.choice((301, 302, 303, 307, 308)), headers={"Location": place})
        if way == "silent":
            await asyncio.sleep(20)
        if way in ("raw", "cut"):
            head = b"" if way == "raw" else b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"
            request.transport.write(head + chance.choice((body, CODES.encode(), b"HTTP/1.1 200 \x1b[2J\r\n" * 40)))
            request.transport.close()
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:  # until the client leaves
            await answer.write(bytes(MB) if way == "endless" else b"{")
            await asyncio.sleep(0 if way == "endless" else 0.1)

    async def _talk(self, request: web.Request, round_: str, chance: random.Random | None) -> web.StreamResponse:
        if chance is not None and chance.random() < 0.15:
            return await self._send(request, chance, b"{}")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        prompt_id = await self._queue_of(round_).get()
        if chance is not None:
            await self._babble(socket, request, prompt_id, chance)
        await self._run(socket, prompt_id)
        async for _ in socket:
            pass
        return socket

    async def _babble(self, socket, request: web.Request, prompt_id: str, chance: random.Random) -> None:
        way = chance.choice(("odd", "odd", "odd", "large", "repeat", "silent", "garbage", "close", "many"))
        step = {"type": "progress", "data": {"prompt_id": prompt_id, "node": CODES, "value": 1, "max": 3}}
        for number in range({"many": 20_000, "repeat": 400}.get(way, 8)):
            if way == "odd":
                data = {"prompt_id": prompt_id, "node": CODES, "value": odd(chance), "max": odd(chance)}
                data |= {"nodes": odd(chance), "exception_message": CODES, "traceback": odd(chance)}
                kind = chance.choice(("executing", "progress", "execution_cached", "execution_error", CODES))
                await socket.send_str(json.dumps(chance.choice(({"type": kind, "data": data}, changed(chance, step)))))
            elif way == "large":
                await socket.send_str("x" * chance.choice((15, 17)) * MB)
            elif way == "many":
                step["data"] |= {"value": number, "max": 10**9}
                await socket.send_json(step)
            elif way == "repeat":
                await socket.send_json(step)
                await socket.send_bytes(bytes(1000))
                await asyncio.sleep(0.05)
            elif way == "silent":
                await asyncio.sleep(2)
            elif way == "garbage":
                request.transport.write(chance.randbytes(500))
            else:
                await socket.close()
