"""Which task an instruction asks for: a judge is asked in words, without pictures.

X2Edit's own script asks a language model, Qwen3-8B, the same in Chinese. The hints for the last three tasks are
its own.
"""

from __future__ import annotations

import re

from ..judges import asking
from ..judges.judge import Answer, Judge
from . import tasks

MOST_TOKENS = 24  # of the answer; the longest name has two words
OTHER = "other"
_HINTS = {
    "remove": "an object is taken away",
    "add": "an object is put in",
    "style": "the picture in another artistic style",
    "background": "the background or place becomes another",
    "color": "something gets another colour",
    "material": "something is made of another material",
    "action": "somebody does something else, another pose",
    "replace": "an object becomes another object",
    "portrait": "a person's looks: face, hair, age, make-up, expression",
    "text": "written words in the picture",
    "tone": "light, season, weather, mood of the whole picture",
    "camera": "another view, zoom, an object moved, turned or resized",
    "implicit change": "what happens must be concluded: 'what if ...', 'in an hour', relations of objects",
    "low level": "edges, depth or line drawings from or to a picture",
    "subject": "no edit is meant: the subject is described in a new picture, e.g. 'a sticker of this object'",
    OTHER: "none of these",
}
QUESTION = (
    "This is an instruction for editing a picture:\n\n{instruction}\n\nWhich kind of edit is it? The kinds are:\n"
    + "".join(f"- {name}: {hint}\n" for name, hint in _HINTS.items())
    + "\nAnswer with the name of one kind from this list and nothing else."
)
REMINDER = "\n\nWrite one name from the list, exactly as it stands there before the colon."


async def named(judge: Judge, instruction: str) -> tuple[str, str]:
    """The task of an instruction.

    Returns:
        its name in `tasks.NAMES`, and a note: "" or why the task is `other`.
    Raises:
        JudgeUnavailable: from the judge.
    """
    question = QUESTION.replace("{instruction}", instruction.strip())
    name, answer = await asking.understood(judge, (), question, REMINDER, MOST_TOKENS, read)
    if name is None:
        return OTHER, f"the judge's answer was {answer.shown}, which names no task: other is taken"
    return name, ""


def read(answer: Answer) -> str | None:
    """The one task that an answer names, in English or as X2Edit has it; None for none or several."""
    said = answer.text.strip().strip(".,:;!*_`'\"()[]- \n").lower().replace("_", " ")
    found = {ours for ours, name in tasks.NAMES.items() if said in (ours, name.lower().replace("_", " ") or ours)}
    if not found:
        found = {ours for ours, name in tasks.NAMES.items() if _stands_in(said, ours) or (name and name in said)}
    return found.pop() if len(found) == 1 else None


def _stands_in(text: str, name: str) -> bool:
    return re.search(rf"(?<![a-z]){re.escape(name)}(?![a-z])", text) is not None
