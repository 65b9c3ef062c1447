"""What a model thinks before it answers, taken off the answer."""

from __future__ import annotations

import re

_NAMES = "think|thinking|thought|thoughts|reasoning|reflection|seed:think"
_MARK = re.compile(
    rf"(?P<open><(?:{_NAMES})>|\[THINK\]|\u25c1think\u25b7|<\|channel>"
    r"|(?:<\|start\|>assistant)?<\|channel\|>\s*(?:analysis|commentary))"
    rf"|(?P<end></(?:{_NAMES})>|\[/THINK\]|\u25c1/think\u25b7|<channel\|>"
    r"|(?:<\|start\|>assistant)?<\|channel\|>\s*final(?:\s*<\|constrain\|>\w*)?\s*<\|message\|>)",
    re.IGNORECASE,
)
_HARMONY_WORDS = re.compile(r"\s*analysis.*assistant\s?final", re.DOTALL)
"""gpt-oss's channels where the tokenizer's special tokens were left out."""

_LEFT_OVER = re.compile(r"<\|[A-Za-z_]{2,30}\|>|</s>|<eos>|<end_of_turn>|<turn\|>", re.IGNORECASE)
"""Marks that say nothing: the end of a turn, a box around the result."""

_PARTS = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>", "<|end|>")  # of gpt-oss's marks, each a token


def is_mark(token: str) -> bool:
    """Whether a special token tells thoughts from answers, and must stay where special tokens are left out."""
    return token in _PARTS or bool(_MARK.fullmatch(token))


def taken_off(text: str) -> tuple[str, bool]:
    """Separate an answer from the thoughts before it.

    Known: `<think>` and its kin (Qwen, DeepSeek, GLM, Seed), an end without a beginning (the chat template wrote the
    beginning), `[THINK]` (Mistral), Kimi's triangles, the channels of Gemma 4 and gpt-oss.

    Returns:
        The answer, "" if there is none; and whether a thought was begun and not ended.
    """
    if found := _HARMONY_WORDS.match(text):
        text = text[found.end() :]
    said: list[str] = []
    start, is_open = 0, False
    for mark in _MARK.finditer(text):
        if mark["end"] and not is_open:
            said = []  # all before it was a thought
        elif mark["open"] and not is_open:
            said.append(text[start : mark.start()])
        is_open = bool(mark["open"])
        start = mark.end()
    if not is_open:
        said.append(text[start:])
    return _LEFT_OVER.sub("", "".join(said)).strip(), is_open
