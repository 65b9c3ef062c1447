"""What a request asks for beyond the answer, and what is left out for a server that refuses it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .judge import PLAIN, Manner
from .replies import TOP_TOKENS

_NO_THOUGHTS = {
    "reasoning_effort": "none",  # Ollama, llama.cpp, OpenAI
    "chat_template_kwargs": {"enable_thinking": False, "thinking": False},  # vLLM, SGLang, llama.cpp
}
_SIGNS = {
    "logprobs": ("logprob",),
    "temperature": ("temperature",),
    "max_tokens": ("max_tokens", "max_completion_tokens"),
    "thoughts": (*_NO_THOUGHTS, "enable_thinking", "thinking"),
}
"""Extra -> words of a refusal that mean it."""


def extras(most_tokens: int, thinks: bool, without: Collection[str], manner: Manner = PLAIN) -> dict[str, Any]:
    """The fields of a request beside its model and messages.

    Args:
        thinks: False asks the model not to think before it answers.
        without: of `_SIGNS`, what the server has refused; the limit of tokens then goes by its newer name. How a
            question set wants its answers sampled is never left out: they would be answers to another question.
    """
    fields: dict[str, Any] = {"max_completion_tokens" if "max_tokens" in without else "max_tokens": most_tokens}
    if manner.draws:
        fields |= {name: getattr(manner, name) for name in ("temperature", "top_p", "top_k", "seed")}
    else:
        fields |= {"temperature": 0} if "temperature" not in without else {}
        fields |= {"logprobs": True, "top_logprobs": TOP_TOKENS} if "logprobs" not in without else {}
    if not thinks and "thoughts" not in without:
        fields |= _NO_THOUGHTS
    return fields


def refused(status: int, text: str, sent: Collection[str]) -> set[str]:
    """The extras that a server's error text names.

    Args:
        sent: the fields of the request.
    """
    if status not in (400, 422):
        return set()
    said = text.lower()
    named = {extra for extra, signs in _SIGNS.items() if any(sign in said for sign in signs)}
    fields = {"logprobs": "logprobs", "temperature": "temperature", "max_tokens": "max_tokens"}
    left_out = {extra for extra in named if fields.get(extra, "reasoning_effort") in sent}
    return left_out - ({"temperature"} if "top_k" in sent else set())
