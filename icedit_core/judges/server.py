"""A judge on an OpenAI-compatible server: vLLM, Ollama, LM Studio, llama.cpp, transformers serve."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
from PIL import Image
from torch import Tensor

from .. import foreign
from . import address, keys, words
from .judge import Answer, JudgeUnavailable

LONGEST_MODEL = 300  # characters of a model's name, which may be a path
TOP_TOKENS = 10
LONGEST_TOKEN = 100  # characters
LARGEST_ANSWER = 2**20  # bytes of a reply that are read
RETRIED = (429, 500, 502, 503, 504)
FIRST_WAIT = 0.5  # seconds before the first retry, doubled each time
FREEING_LIMIT = 10.0  # seconds, and never more than for an answer, for the server to drop a model

NUMBERS = (RecursionError, OverflowError)
"""What JSON nested too deeply and integers of hundreds of digits raise, beside ValueError."""

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
        return words.line(f"{self.model} at {self.url}", LONGEST_MODEL + address.LONGEST)

    async def ask(self, pictures: Sequence[Tensor], question: str, most_tokens: int) -> Answer:
        """See `Judge.ask`; temperature 0, first-token probabilities asked for."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": [*map(_part, pictures), {"type": "text", "text": question}]}],
            "max_tokens": most_tokens,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": TOP_TOKENS,
        }
        wait = FIRST_WAIT
        for attempt in range(self.retries + 1):
            try:
                return await self._once(body)
            except _Passing as fault:
                if attempt == self.retries:
                    raise JudgeUnavailable(f"{fault} It was tried {attempt + 1} times. {self._remedy()}") from None
            await asyncio.sleep(wait)
            wait *= 2
        raise AssertionError("unreachable")

    async def _once(self, body: Mapping[str, Any]) -> Answer:
        limit = aiohttp.ClientTimeout(total=self.timeout)
        who, headers = f"ICEdit judge: {self.name}", self._headers()
        try:
            async with (
                _gate(self.parallel),
                aiohttp.ClientSession(timeout=limit) as session,
                session.post(
                    f"{self.url}/chat/completions", json=body, headers=headers, allow_redirects=False
                ) as reply,
            ):
                status, text = reply.status, await _text(reply)
        except asyncio.TimeoutError:
            raise _Passing(f"{who} gave no answer within {self.timeout:g} s.") from None
        except (aiohttp.ClientError, OSError) as error:
            reason = words.line(str(error) or type(error).__name__)
            # Not `from error`: the host logs causes as they are, with whatever the server wrote into them.
            raise _Passing(f"{who} cannot be reached or broke off ({reason}).") from None
        if status in RETRIED:
            raise _Passing(f"{who} answered {status}: {words.line(text)}.")
        if status != 200:
            raise JudgeUnavailable(f"{who} refused with {status}: {words.line(text)}. {self._remedy()}")
        return _answer(text, who, self._remedy())

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
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError, ValueError, AttributeError, *NUMBERS) as error:
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


def _part(picture: Tensor) -> dict[str, Any]:
    """A picture as the API takes it: PNG in a data URL."""
    pixels = (picture[..., :3].float().clamp(0, 1) * 255).round().byte().cpu().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def _answer(text: str, who: str, remedy: str) -> Answer:
    """Read a chat completion.

    Raises:
        JudgeUnavailable: it is none.
    """
    try:
        choice = json.loads(text)["choices"][0]
        content = choice["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, *NUMBERS):
        shown = words.line(text)
        raise JudgeUnavailable(f"{who} sent something that is no chat completion: '{shown}'. {remedy}") from None
    return Answer(content if isinstance(content, str) else "", _first_token(choice))


def _first_token(choice: Mapping[str, Any]) -> dict[str, float] | None:
    """Probabilities of the first token, where the server sends them in the API's form."""
    try:
        top = choice["logprobs"]["content"][0]["top_logprobs"][: 2 * TOP_TOKENS]
        return {str(one["token"])[:LONGEST_TOKEN]: math.exp(min(float(one["logprob"]), 0.0)) for one in top}
    except (KeyError, IndexError, TypeError, ValueError, *NUMBERS):
        return None
