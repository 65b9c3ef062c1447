"""A judge on an OpenAI-compatible server: vLLM, Ollama, LM Studio, llama.cpp, transformers serve."""

from __future__ import annotations

import asyncio
import base64
import io
import ipaddress
import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import aiohttp
from PIL import Image
from torch import Tensor

from .judge import Answer, JudgeUnavailable

SECRET_PREFIX = "ICEDIT_JUDGE_"
HOSTS_VARIABLE = "ICEDIT_JUDGE_HOSTS"
TOP_TOKENS = 10
LARGEST_ANSWER = 2**20  # bytes of a reply that are read
RETRIED = (429, 500, 502, 503, 504)
FIRST_WAIT = 0.5  # seconds before the first retry, doubled each time
FREEING_LIMIT = 10.0  # seconds for the server to drop a model

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerJudge:
    """Asks a chat model over HTTP.

    Args:
        url: the API's root, e.g. `http://127.0.0.1:8000/v1`.
        model: the model's name there.
        key_variable: environment variable with the key; its name must begin with `ICEDIT_JUDGE_`, so that a workflow
            from elsewhere cannot send other secrets away. "" for none.
        timeout: seconds for one answer; retries: further tries after a passing fault; parallel: requests at a time.
        free_memory: after a ranking, have an Ollama server drop the model from its memory; others take no notice.
    Raises:
        ValueError: a host that the machine's owner did not allow, a variable of another name, or one that is not set.
    """

    url: str
    model: str
    key_variable: str = ""
    timeout: float = 120.0
    retries: int = 2
    parallel: int = 4
    free_memory: bool = False

    def __post_init__(self) -> None:
        _check_url(self.url)
        _key(self.key_variable)

    @property
    def name(self) -> str:
        return f"{self.model} at {self.url}"

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
                    raise JudgeUnavailable(f"{fault} It was tried {attempt + 1} times. {self._remedy()}") from fault
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
                    f"{self.url.rstrip('/')}/chat/completions", json=body, headers=headers, allow_redirects=False
                ) as reply,
            ):
                status, text = reply.status, await _text(reply)
        except asyncio.TimeoutError as error:
            raise _Passing(f"{who} gave no answer within {self.timeout:g} s.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _Passing(f"{who} cannot be reached or broke off ({error or type(error).__name__}).") from error
        if status in RETRIED:
            raise _Passing(f"{who} answered {status}: {text[:200]}.")
        if status != 200:
            raise JudgeUnavailable(f"{who} refused with {status}: {text[:300]}. {self._remedy()}")
        return _answer(text, who, self._remedy())

    async def close(self) -> str:
        """See `Closing.close`; no answer of the server makes this fail."""
        if not self.free_memory:
            return ""
        url = f"{self.url.rstrip('/').removesuffix('/v1')}/api/generate"
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=FREEING_LIMIT)) as session,
                session.post(
                    url, json={"model": self.model, "keep_alive": 0}, headers=self._headers(), allow_redirects=False
                ) as reply,
            ):
                done = reply.status == 200 and json.loads(await _text(reply)).get("done") is True
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError, ValueError, AttributeError) as error:
            _log.debug("no Ollama at %s: %r", url, error)
            done = False
        if done:
            return f"{self.model} was dropped from the server's memory"
        return f"note: {self.model} stays in the server's memory: the server did not take Ollama's request to drop it"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"} if (key := _key(self.key_variable)) else {}

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


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"ICEdit judge: the URL is {url!r}, but one like http://127.0.0.1:8000/v1 is needed.")
    if parts.username or parts.password:
        raise ValueError(
            "ICEdit judge: the URL carries a user or a password, but secrets do not belong into a workflow. "
            f"Put the key into an environment variable that begins with {SECRET_PREFIX} and name it."
        )
    allowed = {host.strip().lower() for host in os.environ.get(HOSTS_VARIABLE, "").split(",") if host.strip()}
    if not (_is_loopback(parts.hostname) or parts.hostname.lower() in allowed):
        raise ValueError(
            f"ICEdit judge: {parts.hostname} is not this machine, but a workflow may reach this machine alone. "
            f"If you own the machine and trust that host, set {HOSTS_VARIABLE}={parts.hostname} before ComfyUI starts."
        )


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _key(variable: str) -> str:
    if not variable:
        return ""
    if not variable.startswith(SECRET_PREFIX) or variable == HOSTS_VARIABLE:
        raise ValueError(
            f"ICEdit judge: the key variable is {variable}, but its name must begin with {SECRET_PREFIX}. "
            f"Set for example {SECRET_PREFIX}KEY before ComfyUI starts."
        )
    if not os.environ.get(variable):
        raise ValueError(
            f"ICEdit judge: {variable} is not set. Set it before ComfyUI starts, or leave the field empty."
        )
    return os.environ[variable]


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
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise JudgeUnavailable(f"{who} sent something that is no chat completion: {text[:200]!r}. {remedy}") from error
    return Answer(content if isinstance(content, str) else "", _first_token(choice))


def _first_token(choice: Mapping[str, Any]) -> dict[str, float] | None:
    """Probabilities of the first token, where the server sends them in the API's form."""
    try:
        top = choice["logprobs"]["content"][0]["top_logprobs"]
        return {str(one["token"]): math.exp(min(float(one["logprob"]), 0.0)) for one in top}
    except (KeyError, IndexError, TypeError, ValueError):
        return None
