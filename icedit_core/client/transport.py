"""Requests to a server that is not trusted: no redirects, and limits to what is read and how long it may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing, suppress
from typing import Any, TypeVar

import aiohttp

from .. import foreign
from .answers import JSON_LIMIT, MB, MESSAGE_LIMIT, MOST_VALUES, PIECE, Unpacker, parse_object
from .errors import ComfyError, PromptRejected, RequestFailed, ServerUnreachable, UnexpectedAnswer, as_object

PING_EVERY = 60.0  # seconds; far above what loading a model holds the server's event loop for
PATIENCE_TO_CLOSE = 2.0  # seconds for a websocket's goodbye
UPLOAD_PACE = 50_000  # bytes a second: what an upload must be able to do
_NOT_COMFY = "ComfyUI sends no such thing; is it another server?"
_TOO_LARGE = (
    ". The picture's file is too large for it: save it smaller or as JPEG, or start ComfyUI with a higher "
    "--max-upload-size (100 MB unless said otherwise)."
)
T = TypeVar("T")


class Transport:
    """One HTTP session.

    Args:
        timeout: seconds for a JSON answer as a whole, and for every 64 kB of a file.
    """

    def __init__(self, base_url: str, timeout: float) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        watch = aiohttp.TraceConfig()
        watch.on_request_redirect.append(_refuse_redirect)  # ws_connect has no switch for it
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None),
            trace_configs=[watch],
            auto_decompress=False,
            headers={"Accept-Encoding": "identity"},
        )

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def json(
        self, method: str, path: str, *, sends: int = 0, values: int = MOST_VALUES, **options: Any
    ) -> dict[str, Any]:
        """The JSON object that the server answers.

        Args:
            sends: bytes of the request's body, which take time too.
            values: how many it may hold.
        """
        body = await self.request(method, path, sends=sends, **options)
        answer = parse_object(body, values)
        if answer is None:
            raise UnexpectedAnswer(
                f"{method} {path}: the server answered {foreign.line(body)}, but ComfyUI answers a JSON object. "
                f"Is a ComfyUI at {self.base_url}?"
            )
        return answer

    async def request(self, method: str, path: str, *, sends: int = 0, **options: Any) -> bytes:
        """A short answer's body, whatever it is."""
        async with aclosing(self.pieces(method, path, limit=JSON_LIMIT, sends=sends, **options)) as pieces:
            return b"".join([piece async for piece in pieces])

    async def pieces(
        self, method: str, path: str, *, limit: int, sends: int = 0, renew: bool = False, **options: Any
    ) -> AsyncGenerator[bytes, None]:
        """An answer's body in pieces, unpacked.

        Args:
            limit: bytes that the body may have at most.
            renew: whether every 64 kB may take as long as the first.
        Raises:
            RequestFailed, PromptRejected: the server refused.
            UnexpectedAnswer: the body is too long or damaged.
            ServerUnreachable: the server was too slow, or broke off.
        """
        clock = _Clock(self.timeout, sends / UPLOAD_PACE)
        request = self._opened().request(method, self.base_url + path, allow_redirects=False, **options)
        try:
            answer = await clock.wait(request)
            try:
                refused = answer.status >= 300
                body = _unpacked(answer, clock, renew and not refused)
                total, kept = 0, []
                async for piece in body:
                    total += len(piece)
                    if total > (JSON_LIMIT if refused else limit):
                        raise UnexpectedAnswer(f"{method} {path}: more than {limit // MB} MB came. {_NOT_COMFY}")
                    if refused:
                        kept.append(piece)
                    else:
                        yield piece
                if refused:
                    raise _refusal(f"{method} {path}", answer, b"".join(kept))
            finally:
                answer.close()
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as problem:
            raise self._unreachable(problem) from problem

    async def websocket(self, client_id: str) -> aiohttp.ClientWebSocketResponse[bool]:
        """The websocket on which the server reports to that client; close it with `hang_up`."""
        connect = self._opened().ws_connect(
            f"{self.base_url}/ws", params={"clientId": client_id}, heartbeat=PING_EVERY, max_msg_size=MESSAGE_LIMIT
        )
        try:
            return await asyncio.wait_for(connect, self.timeout)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as problem:
            raise self._unreachable(problem) from problem

    async def hang_up(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        """Close a websocket, without long waiting for the server's goodbye."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(socket.close(), min(PATIENCE_TO_CLOSE, self.timeout / 4))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise ValueError("ComfyClient: used outside of its context. Write 'async with ComfyClient(url) as c:'.")
        return self._session

    def _unreachable(self, problem: BaseException) -> ServerUnreachable:
        late = isinstance(problem, asyncio.TimeoutError)
        what = f"no answer within {self.timeout:g} s" if late else foreign.line(problem or type(problem).__name__)
        return ServerUnreachable(f"ComfyClient: {what}. Is ComfyUI running at {self.base_url}?")


class _Clock:
    """The time that an answer may take."""

    def __init__(self, seconds: float, extra: float) -> None:
        self._seconds = seconds
        self._until = asyncio.get_running_loop().time() + seconds + extra

    async def wait(self, something: Awaitable[T]) -> T:
        return await asyncio.wait_for(something, max(0.0, self._until - asyncio.get_running_loop().time()))

    def renew(self) -> None:
        self._until = asyncio.get_running_loop().time() + self._seconds


async def _unpacked(answer: aiohttp.ClientResponse, clock: _Clock, renew: bool) -> AsyncGenerator[bytes, None]:
    unpacker = Unpacker(answer.headers.get("Content-Encoding", "").strip().lower())
    fresh = 0
    while packed := await clock.wait(answer.content.readany()):
        fresh += len(packed)
        if renew and fresh >= PIECE:
            clock.renew()
            fresh = 0
        for piece in unpacker.feed(packed):
            yield piece
    for piece in unpacker.finish():
        yield piece


async def _refuse_redirect(_session: object, _context: object, redirect: aiohttp.TraceRequestRedirectParams) -> None:
    redirect.response.close()
    raise UnexpectedAnswer(f"ComfyClient: {_redirected(redirect.response)}")


def _redirected(answer: aiohttp.ClientResponse) -> str:
    place = foreign.line(answer.headers.get("Location", ""))
    return (
        f"the server points to another address ({place}), but no redirect is followed: the picture and the workflow "
        "would go there. If that is your ComfyUI, give its address instead."
    )


def _refusal(request: str, answer: aiohttp.ClientResponse, body: bytes) -> ComfyError:
    status = answer.status
    if status < 400:
        return RequestFailed(f"{request}: {_redirected(answer)}", status)
    if request == "POST /prompt":  # else not the server's validation, e.g. a proxy's page
        data = as_object(parse_object(body))
        error, node_errors = (as_object(data.get(key)) for key in ("error", "node_errors"))
        if error or node_errors:
            return PromptRejected(error, node_errors)
    remedy = _TOO_LARGE if status == 413 else ""
    return RequestFailed(f"{request}: the server said {status}: {foreign.line(body, 500)}{remedy}", status)
