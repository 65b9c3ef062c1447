"""Chat completions read as answers, in the shapes that Ollama, vLLM, LM Studio, llama.cpp and others give them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from . import words
from .judge import Answer

TOP_TOKENS = 10
LONGEST_TOKEN = 100  # characters
NUMBERS = (RecursionError, OverflowError)
"""What JSON nested too deeply and integers of hundreds of digits raise, beside ValueError."""

_THOUGHTS = ("reasoning", "reasoning_content", "thinking")
"""Where servers put thoughts: Ollama, LM Studio, vLLM; llama.cpp, older vLLM, DeepSeek; some gateways."""


class NoCompletion(Exception):
    """A body that holds no chat completion."""


class Failed(Exception):
    """A completion that says itself that it failed."""


def answer(body: str) -> Answer:
    """Read a chat completion; thoughts in fields of their own count as taken off.

    Raises:
        NoCompletion, Failed: with words for the person.
    """
    try:
        choice = json.loads(body)["choices"][0]
        message = choice["message"]
        finish, error = choice.get("finish_reason"), choice.get("error")
        said, thought = _texts(message.get("content"))
        thought = thought or any(message.get(name) for name in _THOUGHTS)
        trouble = _trouble(message, finish) if not said.strip() else ""
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, *NUMBERS):
        raise NoCompletion(words.line(body)) from None
    if finish == "error" or error:
        reason = error.get("message", error) if isinstance(error, dict) else error
        raise Failed(words.line(reason or said or "no reason given"))
    told = None if thought else _first_token(choice)
    return Answer(said, told, cut=finish == "length", trouble=trouble)


def _texts(content: Any) -> tuple[str, bool]:
    """(the words of a message's content, which may come in parts; whether parts are thoughts)."""
    if isinstance(content, str):
        return content, False
    parts = content if isinstance(content, list) else []
    texts = [part if isinstance(part, str) else _text_of(part) for part in parts]
    return "".join(texts), any(isinstance(part, dict) and part.get("type") in _THOUGHTS for part in parts)


def _text_of(part: Any) -> str:
    is_text = isinstance(part, dict) and part.get("type") in ("text", "output_text")
    return part["text"] if is_text and isinstance(part.get("text"), str) else ""


def _trouble(message: Mapping[str, Any], finish: Any) -> str:
    """Why a message without words has none; "" if it does not say."""
    if message.get("refusal"):
        return f"a refusal ({words.line(message['refusal'])})"
    if finish == "content_filter":
        return "nothing, its server's content filter took the words,"
    if message.get("tool_calls") or message.get("function_call"):
        return "with a call of a tool"
    if finish != "length" and any(message.get(name) for name in _THOUGHTS):
        return "with thoughts alone"
    return ""


def _first_token(choice: Mapping[str, Any]) -> dict[str, float] | None:
    """Probabilities of the first token, where the server sends them in the API's form."""
    try:
        top = choice["logprobs"]["content"][0]["top_logprobs"][: 2 * TOP_TOKENS]
        return {str(one["token"])[:LONGEST_TOKEN]: math.exp(min(float(one["logprob"]), 0.0)) for one in top}
    except (KeyError, IndexError, TypeError, ValueError, *NUMBERS):
        return None
