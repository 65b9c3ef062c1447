"""JSON objects in a model's words: whole ones, and what broken or cut-off ones were meant to be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_SMART = str.maketrans({"\u201c": '"', "\u201d": '"'})
_TOKEN = re.compile(r"""\s+|//[^\n]*|"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[{}\[\],:]|[^\s{}\[\],:"']+|.""", re.DOTALL)
_WORDS = {"true": "true", "false": "false", "none": "null", "null": "null"}
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_CLOSING = {"{": "}", "[": "]"}


def objects(text: str) -> Iterator[dict[str, Any]]:
    """All JSON objects in the text that are not inside another."""
    decoder, start = json.JSONDecoder(strict=False), text.find("{")
    while start >= 0:
        try:
            data, end = decoder.raw_decode(text, start)
            yield data
        except (ValueError, RecursionError):
            end = start + 1
        start = text.find("{", end)


def repaired(text: str) -> dict[str, Any] | None:
    """The object that begins at the first brace, if that is all that is wrong with it: quotes of another kind or left
    out, commas before an end, Python's True and None, comments, an end that is missing."""
    start = text.find("{")
    if start < 0:
        return None
    whole = text[start:] if '"' in text else text[start:].translate(_SMART)
    try:
        data = json.loads(_mended(whole), strict=False)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _mended(text: str) -> str:
    """The text as JSON; its parts stay apart, so that two numbers without a comma are an error and never one number."""
    out: list[str] = []
    is_open: list[str] = []
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token.isspace() or token.startswith("//"):
            continue
        if token in _CLOSING:
            is_open.append(token)
            out.append(token)
        elif token in ("}", "]"):
            if not is_open or _CLOSING[is_open[-1]] != token:
                continue
            _without_comma(out)
            is_open.pop()
            out.append(token)
            if not is_open:
                return " ".join(out)
        else:
            out.append(_value(token))
    return " ".join(_ended(out, is_open))


def _value(token: str) -> str:
    if token in (",", ":"):
        return token
    if token[0] in "\"'":
        is_ended = len(token) > 1 and token[-1] == token[0] and not token.endswith("\\" + token[0])
        inner = token[1:-1] if is_ended else token[1:].rstrip("\\")
        return f'"{inner}"' if token[0] == '"' else json.dumps(inner.replace("\\'", "'"))
    if token.lower() in _WORDS:
        return _WORDS[token.lower()]
    return token if _NUMBER.fullmatch(token) else json.dumps(token)


def _ended(out: list[str], is_open: list[str]) -> list[str]:
    """Close what was cut off; a key without its value goes."""
    if out[-1] == ":":
        out = out[:-2]
    elif is_open[-1] == "{" and out[-1] not in ("{", "}", "]", ",") and out[-2] in ("{", ","):
        out = out[:-1]
    _without_comma(out)
    return out + [_CLOSING[one] for one in reversed(is_open)]


def _without_comma(out: list[str]) -> None:
    if out and out[-1] == ",":
        out.pop()
