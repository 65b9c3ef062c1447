"""A judge's server that means harm: what it answers is drawn from a seed."""

from __future__ import annotations

import asyncio
import json
import random
import zlib
from collections.abc import Iterator
from contextlib import asynccontextmanager
from functools import cache

KEY = "sk-of-the-owner-0123"
SURROGATE = "\ud800"
CODES = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x00\r\x9b1A\u202e"
NUMBER = "9" * 400
WAYS = {"plain": 80, "bomb": 4, "endless": 4, "drip": 1, "silent": 1, "raw": 5, "redirect": 5}
"""How a reply is sent, and how often."""


def completion(content, top=None) -> bytes:
    """A well-formed answer; `content` and `top` may be anything that JSON takes."""
    choice = {"message": {"content": content}, "logprobs": {"content": [{"top_logprobs": top}]}}
    return json.dumps({"choices": [choice]}).encode()


def hostile_bodies(chance: random.Random) -> list[bytes]:
    """One of each kind, with lengths and depths drawn anew."""
    depth, long = chance.choice((500, 3000, 100_000)), chance.choice((3000, 900_000))
    scored = {"score": [chance.randrange(11), 5], "reasoning": f"{KEY}{CODES}{SURROGATE}\nnote: all is well"}
    words = json.dumps(scored)
    return [
        b"[" * depth,
        b'{"choices":' * depth,
        b'{"done":' * depth,
        completion("[" * long),
        completion('{"score":' * (long // 9)),
        completion('{"score": [5, 5], "reasoning": ' + "[" * long),
        completion(words),
        completion("se" + "<think></think>" + words),
        completion(words.replace(KEY, "".join(f"\\u{ord(letter):04x}" for letter in KEY))),
        completion(f"<img src=/interrupt> {CODES} {KEY} " * (long // 60)),
        completion("1" + "\n" * long + SURROGATE),
        completion("1", [{"token": "1", "logprob": int(NUMBER)}, {"token": "2", "logprob": float("nan")}]),
        completion("2", [{"token": "1" * long, "logprob": -1}] * 500),
        completion(f'{{"score": [{NUMBER}, {NUMBER}], "reasoning": "{CODES}"}}'.replace("\x00", "")),
        completion({"score": [5, 5]}, {"a": [{}]}),
        completion(None, NUMBER),
        completion([["1"]] * 1000),
        b"\xff" * long,
        NUMBER.encode() * 20,
        f"{CODES}{KEY}".encode() * 100,
        b"null",
        b"",
    ]


def hostile_replies(seed: int) -> Iterator[tuple[str, int, bytes]]:
    """Replies without end, as (way of sending, status, body)."""
    chance = random.Random(seed)
    while True:
        bodies = hostile_bodies(chance)
        chance.shuffle(bodies)
        for body in bodies:
            (way,) = chance.choices(tuple(WAYS), tuple(WAYS.values()))
            (status,) = chance.choices((200, 400, 401, 500, 503), (80, 5, 5, 5, 5))
            yield way, status, body


@asynccontextmanager
async def hostile_server(replies):
    """Serve one reply for each request, in turn; yields the API's root."""
    left = iter(replies)

    async def handle(reader, writer):
        try:
            await _swallow(reader)
            await _send(reader, writer, *next(left))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()


@cache
def bomb() -> bytes:
    """A gigabyte of brackets, squeezed into a few megabytes."""
    packer = zlib.compressobj(1)
    return b"".join([*(packer.compress(b"[" * 2**24) for _ in range(64)), packer.flush()])


async def _swallow(reader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    await reader.readexactly(length)


async def _send(reader, writer, way: str, status: int, body: bytes) -> None:
    head = (
        f"HTTP/1.1 {status} {KEY} {CODES.translate({13: None, 0: None})}\r\nContent-Type: application/json\r\n".encode()
    )
    if way == "raw":
        writer.write(body[:100_000] + b"\r\n\r\n")
    elif way == "redirect":
        writer.write(f"HTTP/1.1 307 x\r\nLocation: http://127.0.0.1:9/{KEY}\r\nContent-Length: 0\r\n\r\n".encode())
    elif way == "bomb":
        writer.write(head + b"Content-Encoding: deflate\r\nContent-Length: %d\r\n\r\n" % len(bomb()) + bomb())
    elif way in ("endless", "drip"):
        writer.write(head + b"\r\n")
        while not writer.is_closing():
            writer.write(body[:1] or b"[" if way == "drip" else b"[" * 2**20)
            await writer.drain()
            await asyncio.sleep(0.05 if way == "drip" else 0)
    elif way == "silent":
        await reader.read()  # until the client gives up
    else:
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
