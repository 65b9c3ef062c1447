"""A judge on an OpenAI-compatible server: vLLM, Ollama, LM Studio, llama.cpp, transformers serve."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import aiohttp
from torch import Tensor

from .. import foreign
from . import address, keys, replies, words
from .extras import extras, refused
from .judge import PLAIN, THOUGHT_TOKENS, Answer, JudgeUnavailable, Manner
from .message import turns
from .pictures import SIDE, part

if TYPE_CHECKING:
    from .asked import QuestionSet

LONGEST_MODEL = 300  # characters of a model's name, which may be a path
LARGEST_ANSWER = 2**20  # bytes of a reply that are read
RETRIED = (429, 500, 502, 503, 504)
FIRST_WAIT = 0.5  # seconds before the first retry, doubled each time
LOADING_WAIT = 1.0  # seconds between looks at a server that loads its model
FREEING_LIMIT = 10.0  # seconds, and never more than for an answer, for the server to drop a model

ADDRESS = "The URL usually ends in /v1, for example http://127.0.0.1:11434/v1."

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerJudge:
    """Asks a chat model over HTTP.

    Args:
        url: the API's root, e.g. `http://127.0.0.1:8000/v1`; kept as rebuilt from its parts.
        model: the model's name there.
        key_variable: environment variable with the key, which goes only to the host it belongs to; "" for none.
        timeout: seconds for one answer; retries: further tries after a passing fault; parallel: requests at a time.
        free_memory: after a ranking, have an Ollama server drop the model from its memory; others take no notice.
        picture_side: px of the longer side at which pictures are sent at most.
        thought_tokens: room for the thoughts of a model that thinks before it answers; 0 asks it not to think.
        questions: the question set, see `asked.of`; None: as a model that was not made for judging edits.
    Raises:
        ValueError: see `address.parse` and `keys.check`; a model's name with control characters or without end.
    """

    url: str
    model: str
    key_variable: str = ""
    timeout: float = 120.0
    retries: int = 2
    parallel: int = 4
    free_memory: bool = False
    picture_side: int = SIDE
    thought_tokens: int = THOUGHT_TOKENS
    questions: QuestionSet | None = None
    _without: set[str] = field(default_factory=set, init=False, repr=False, compare=False)
    """The extras that this server has refused so far, see `extras`."""

    def __post_init__(self) -> None:
        place = address.parse(self.url)
        object.__setattr__(self, "url", place.url)
        keys.check(self.key_variable, place)
        if not foreign.is_plain(self.model) or len(self.model) > LONGEST_MODEL:
            raise ValueError(
                f"ICEdit judge: the model is '{foreign.line(self.model)}', but a name without control characters, of "
                f"at most {LONGEST_MODEL} characters, is needed. Write it as the server lists it."
            )

    @property
    def name(self) -> str:
        settings = f", pictures of {self.picture_side} px" * (self.picture_side != SIDE)
        settings += ", not thinking" * (not self.thought_tokens)
        return words.line(f"{self.model} at {self.url}{settings}", LONGEST_MODEL + address.LONGEST + 50)

    async def ask(self, pictures: Sequence[Tensor], question: str, most_tokens: int, manner: Manner = PLAIN) -> Answer:
        """See `Judge.ask`; first-token probabilities are asked for where the likeliest token is."""
        loop = asyncio.get_running_loop()
        deadline, wait, failed = loop.time() + self.timeout, FIRST_WAIT, 0
        while True:
            try:
                return await self._once(pictures, question, most_tokens, manner)
            except _Refused as refusal:
                self._without.update(refusal.extras)
                continue
            except _Loading as fault:
                if loop.time() >= deadline:
                    text = f"{fault} It was still loading after {self.timeout:g} s. Raise timeout. {self._remedy()}"
                    raise JudgeUnavailable(text) from None
                await asyncio.sleep(LOADING_WAIT)
            except _Passing as fault:
                failed += 1
                if failed > self.retries:
                    raise JudgeUnavailable(f"{fault} It was tried {failed} times. {self._remedy()}") from None
                await asyncio.sleep(wait)
                wait *= 2

    async def _once(self, pictures: Sequence[Tensor], question: str, most_tokens: int, manner: Manner) -> Answer:
        limit = aiohttp.ClientTimeout(total=self.timeout)
        who, headers = f"ICEdit judge: {self.name}", self._headers() | {"Content-Type": "application/json"}
        fields = extras(most_tokens, self.thought_tokens > 0, self._without, manner)
        try:
            async with _gate(self.parallel), aiohttp.ClientSession(timeout=limit) as session:
                # Inside the gate and off the event loop: a body takes megabytes and tenths of a second.
                body = await asyncio.to_thread(self._body, pictures, question, fields, manner)
                async with session.post(
                    f"{self.url}/chat/completions", data=body, headers=headers, allow_redirects=False
                ) as reply:
                    status, text = reply.status, await _text(reply)
        except asyncio.TimeoutError:
            raise _Passing(f"{who} gave no answer within {self.timeout:g} s.") from None
        except (aiohttp.ClientError, OSError) as error:
            reason = words.line(str(error) or type(error).__name__)
            # Not `from error`: the host logs causes as they are, with whatever the server wrote into them.
            raise _Passing(f"{who} cannot be reached or broke off ({reason}).") from None
        if status == 200:
            return self._read(text, who)
        if left_out := refused(status, text, fields):
            raise _Refused(left_out)
        said = f"{who} answered {status}: {words.line(text)}."
        if status == 503 and "loading" in text.lower():
            raise _Loading(said)
        if status in RETRIED:
            raise _Passing(said)
        address = f" {ADDRESS}" if status in (404, 405) else ""
        raise JudgeUnavailable(f"{who} refused with {status}: {words.line(text)}.{address} {self._remedy()}")

    def _body(self, pictures: Sequence[Tensor], question: str, fields: Mapping[str, Any], manner: Manner) -> io.BytesIO:
        shown = [part(picture, self.picture_side) for picture in pictures]
        body = {"model": self.model, "messages": turns(shown, question, manner), **fields}
        return io.BytesIO(json.dumps(body).encode())

    def _read(self, text: str, who: str) -> Answer:
        try:
            return replies.answer(text)
        except replies.Failed as failure:
            raise _Passing(f"{who} says that its answer failed: {failure}.") from None
        except replies.NoCompletion as shown:
            raise JudgeUnavailable(
                f"{who} sent something that is no chat completion: '{shown}'. {ADDRESS} {self._remedy()}"
            ) from None

    async def close(self) -> str:
        """See `Closing.close`; no answer of the server makes this fail."""
        if not self.free_memory:
            return ""
        url = f"{self.url.removesuffix('/v1')}/api/generate"
        limit = aiohttp.ClientTimeout(total=min(FREEING_LIMIT, self.timeout))
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as session,
                session.post(
                    url, json={"model": self.model, "keep_alive": 0}, headers=self._headers(), allow_redirects=False
                ) as reply,
            ):
                done = reply.status == 200 and json.loads(await _text(reply)).get("done") is True
        except (
            aiohttp.ClientError,
            OSError,
            asyncio.TimeoutError,
            ValueError,
            AttributeError,
            *replies.NUMBERS,
        ) as error:
            _log.debug("no Ollama at %s: %s: %s", url, type(error).__name__, words.line(error))
            done = False
        model = words.line(self.model)
        if done:
            return f"{model} was dropped from the server's memory"
        return f"note: {model} stays in the server's memory: the server did not take Ollama's request to drop it"

    def _headers(self) -> dict[str, str]:
        key = keys.check(self.key_variable, address.parse(self.url))
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _remedy(self) -> str:
        return (
            "Check that the server runs, that the model's name is right and that it takes pictures, then queue again: "
            "the candidates are kept."
        )


class _Passing(Exception):
    """A fault that may be gone at the next try."""


class _Loading(Exception):
    """The server is there and its model is not yet."""


class _Refused(Exception):
    """The server does not take some of the request's extras."""

    def __init__(self, extras: set[str]):
        super().__init__()
        self.extras = extras


async def _text(reply: aiohttp.ClientResponse) -> str:
    """The whole reply, cut off where it grows beyond all reason."""
    data = b""
    async for chunk in reply.content.iter_chunked(2**16):
        data += chunk
        if len(data) > LARGEST_ANSWER:
            break
    return data.decode("utf-8", "replace")


_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, asyncio.Semaphore]] = WeakKeyDictionary()


def _gate(parallel: int) -> asyncio.Semaphore:
    """One limit per event loop and size, shared by all judges."""
    return _gates.setdefault(asyncio.get_running_loop(), {}).setdefault(parallel, asyncio.Semaphore(parallel))
