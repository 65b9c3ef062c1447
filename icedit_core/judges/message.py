"""A question as the turns of a chat, in the form that servers and chat templates share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .judge import Manner


def turns(
    pictures: Sequence[Mapping[str, Any]], question: str, manner: Manner, listed: bool = False
) -> list[dict[str, Any]]:
    """The system's turn, if there is one, and the person's: the pictures in their order and then the words.

    Args:
        pictures: one part of a message each.
        listed: words alone are a list of one part too, as chat templates for pictures read them.
    """
    content: list[Mapping[str, Any]] = []
    for number, picture in enumerate(pictures, 1):
        content += [{"type": "text", "text": f"<img{number}>: "}] * manner.numbered + [picture]
    said = [*content, {"type": "text", "text": question}] if content or listed else question
    system = [{"role": "system", "content": manner.system}] if manner.system else []
    return [*system, {"role": "user", "content": said}]
