"""A judge's answer as JSON: with pictures or without, in a form that the caller names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from .. import foreign
from .asking import understood
from .json_text import objects, repaired
from .judge import Answer, Judge, JudgeUnreadable
from .small_schema import Misfit, fitted

MOST_TOKENS = 1024
FORM = "\n\nAnswer with one JSON object and nothing else. Its JSON Schema: {schema}"
REMINDER = "\n\nThe last answer could not be used: {fault}. Answer with the JSON object alone."


async def ask_json(
    judge: Judge,
    question: str,
    schema: Mapping[str, Any],
    pictures: Sequence[Tensor] = (),
    most_tokens: int = MOST_TOKENS,
) -> dict[str, Any]:
    """Ask for an object; a broken answer is repaired, else the judge is asked once more and told what was wrong.

    Args:
        question: without a word on the form of the answer, which is added.
        schema: of an object, see `small_schema.fitted`; `description` of a field is for the judge.
        pictures: (H, W, 3 or 4) in [0, 1]; none for a question on words alone.
        most_tokens: of the object; a model that thinks gets its own room for that.
    Returns:
        The fields that the schema names, each of the kind that it wants.
    Raises:
        JudgeUnreadable: two answers held no such object.
        JudgeUnavailable: from the judge.
    """
    faults: list[str] = []

    def read(answer: Answer) -> dict[str, Any] | None:
        try:
            return found(answer.text, schema)
        except Misfit as fault:
            faults.append(str(fault))
            return None

    whole = question + FORM.format(schema=json.dumps(schema, ensure_ascii=False))
    value, answer = await understood(
        judge, pictures, whole, lambda: REMINDER.format(fault=faults[-1]), most_tokens, read
    )
    if value is None:
        raise JudgeUnreadable(
            f"ICEdit judge: {judge.name} answered {answer.shown} twice, but a JSON object of the form asked for is "
            f"needed ({faults[-1]}). Take a larger model or, if it thinks first, more thought_tokens."
        )
    return value


def found(text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The last object in the text that fits the schema, repaired if there is no whole one.

    Raises:
        Misfit: there is none; says what is wrong with the last one.
    """
    text = text[: 2 * foreign.TEXT_LENGTH]
    fault = Misfit("there is no JSON object in it")
    for data in (*reversed(list(objects(text))), repaired(text)):
        if data is None:
            continue
        try:
            return dict(fitted(data, schema))
        except Misfit as error:
            fault = error
    raise fault
