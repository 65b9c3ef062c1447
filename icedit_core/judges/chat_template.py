"""Chat templates of strangers, rendered in a process of their own that ends: its time, memory and files are limited.

A template is a program: loops inside each other, or a power of a power, can take for ever, and nothing in the same
process could end that.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..foreign import line

SECONDS = 10.0
_POLL = 0.1
_CHILD = Path(__file__).with_name("chat_template_child.py")
_WHO = "ICEdit judge (transformers)"


def rendered(template: object, variables: dict[str, Any], stop: Callable[[], None], seconds: float = SECONDS) -> str:
    """The text that a chat template makes.

    Args:
        template: in Jinja.
        variables: what it sees; JSON.
        stop: polled while it renders; raises when the person has pressed cancel.
        seconds: how long it may take.
    Raises:
        ValueError: no template, one that fails, or one that does not end.
    """
    if not isinstance(template, str):
        raise ValueError(
            f"{_WHO}: the model's chat template is {type(template).__name__}, but text is needed. "
            "Put the whole folder of the model there, with its chat_template.jinja."
        )
    asked = json.dumps({"template": template, "variables": variables, "seconds": seconds}).encode()
    command = [sys.executable, "-I", str(_CHILD), *map(_where, ("jinja2", "markupsafe"))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with process:
        try:
            told = _answer(process, asked, stop, seconds)
        finally:
            process.kill()
    answer = _read(told)
    if not isinstance(answer.get("text"), str):
        raise ValueError(
            f"{_WHO}: the model's chat template cannot be used ({line(answer.get('error', 'it ended early'))}), but "
            f"one that ends in {seconds:g} s is needed. Take the model's folder as it was published."
        )
    return answer["text"]


def _answer(process: subprocess.Popen[bytes], asked: bytes, stop: Callable[[], None], seconds: float) -> bytes:
    waited, more = 0.0, asked
    while waited < seconds:
        try:
            return process.communicate(more, timeout=_POLL)[0]
        except subprocess.TimeoutExpired:
            waited, more = waited + _POLL, b""  # the rest of what is asked is still being sent
            stop()
    return json.dumps({"error": f"it did not end in {seconds:g} s"}).encode()


def _read(told: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(told)
    except ValueError:  # killed, by its own limits or by somebody
        return {}
    return answer if isinstance(answer, dict) else {}


def _where(package: str) -> str:
    """The folder to import a package from, in a process that has none of this one's paths."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ValueError(f"{_WHO}: {package} is not installed, but chat templates need it. Install transformers anew.")
    return str(Path(found.origin).parents[1])
