"""Answers as JSON: found, repaired, fitted to a schema, asked once more, refused."""

import asyncio
import json
import time

import pytest

from icedit_core.judges import Answer, JudgeUnreadable, ask_json
from icedit_core.judges.ask_json import found
from icedit_core.judges.small_schema import Misfit

SCHEMA = {
    "type": "object",
    "properties": {
        "task": {"type": "string", "enum": ["add", "remove", "recolour"], "description": "what is done"},
        "object": {"type": "string", "minLength": 1},
        "sure": {"type": "number", "minimum": 0, "maximum": 1},
        "count": {"type": "integer"},
        "is_local": {"type": "boolean"},
        "colours": {"type": "array", "items": {"type": "string"}},
        "box": {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}},
    },
    "required": ["task", "object"],
}
PLAIN = {"task": "add", "object": "a hat"}


class Scripted:
    name = "scripted"

    def __init__(self, *answers):
        self.answers, self.asked = answers, []

    async def ask(self, pictures, question, most_tokens):
        self.asked.append((list(pictures), question, most_tokens))
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        return answer if isinstance(answer, Answer) else Answer(answer)


def test_a_question_on_words_alone_is_answered_as_an_object():
    judge = Scripted(json.dumps(PLAIN | {"more": "not asked for"}))
    assert asyncio.run(ask_json(judge, "What is done in 'add a hat'?", SCHEMA)) == PLAIN
    ((pictures, question, _),) = judge.asked
    assert pictures == [] and question.startswith("What is done in 'add a hat'?\n") and '"enum": ["add"' in question


@pytest.mark.parametrize(
    "text",
    [
        '{"task": "add", "object": "a hat"}',
        'Sure!\n```json\n{"task": "add",\n "object": "a hat",}\n```\nAnything else?',
        "{'task': 'add', 'object': 'a hat'}",
        '{task: "add", object: "a hat"}',
        '{"task": "add", // the hat is new\n "object": "a hat"}',
        "\u007b\u201ctask\u201d: \u201cadd\u201d, \u201cobject\u201d: \u201ca hat\u201d\u007d",
        '{"task": "add", "object": "a hat", "colours": ["red", "bl',
        '{"task": "add", "object": "a hat", "is_loc',
        '{"task": "add", "object": "a hat", "is_local":',
        '{"task": "add", "object": "a hat", "count": None}',
        '{"task": "Add", "object": "a hat"}',
        '<think>{"task": "remove", "object": "x"}</think>{"task": "add", "object": "a hat"}',
        '{"task": "remove", "object": "x"} no, wait: {"task": "add", "object": "a hat"}',
        '{"task": "add", "object": "a hat", "box": null}',
    ],
)
def test_what_was_meant_is_read(text):
    value = found(Answer(text).text, SCHEMA)
    assert {name: value[name] for name in PLAIN} == PLAIN


def test_kinds_are_made_right():
    text = '{"task": "add", "object": "x", "sure": "0.5", "count": 2.0, "is_local": "true", "colours": "red"}'
    assert found(text, SCHEMA) == {
        "task": "add", "object": "x", "sure": 0.5, "count": 2, "is_local": True, "colours": ["red"],
    }  # fmt: skip
    assert found('{"task": "add", "object": "it\'s \\"new\\"\nhere"}', SCHEMA)["object"] == 'it\'s "new"\nhere'
    assert found("{'task': 'add', 'object': 'it\\'s \"new\"'}", SCHEMA)["object"] == 'it\'s "new"'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("add a hat", "no JSON object"),
        ("", "no JSON object"),
        ('{"task": "add"}', "object is missing"),
        ('{"task": "paint", "object": "x"}', "task is paint, but one of add, remove, recolour is needed"),
        ('{"task": "add", "object": " "}', "minLength 1 is needed"),
        ('{"task": "add", "object": 5}', "object is 5, but a string is needed"),
        ('{"task": "add", "object": "x", "sure": 2}', "sure is 2.0, but minimum 0, maximum 1 is needed"),
        ('{"task": "add", "object": "x", "sure": NaN}', "sure is NaN, but a number is needed"),
        ('{"task": "add", "object": "x", "sure": true}', "sure is True, but a number is needed"),
        ('{"task": "add", "object": "x", "count": 1.5}', "count is 1.5, but a integer is needed"),
        ('{"task": "add", "object": "x", "count": ' + "9" * 400 + "}", "count is 999.*, but a integer is needed"),
        ('{"task": "add", "object": "x", "colours": [1]}', r"colours\[0\] is 1, but a string is needed"),
        ('{"task": "add", "object": "x", "box": 3}', "box is 3, but an object is needed"),
        ('{"task": "add", "object": "x", "box": {"x": 1}}', "y is missing"),
    ],
)
def test_what_does_not_fit_is_named(text, fault):
    with pytest.raises(Misfit, match=fault):
        found(text, SCHEMA)


@pytest.mark.parametrize("text", ["{" * 100_000, '{"a":' * 50_000, "{'" * 50_000, '{"' + "\\" * 100_001, "{" + "," * 9])
def test_hostile_words_are_a_misfit_and_take_no_time(text):
    since = time.monotonic()
    with pytest.raises(Misfit):
        found(text, SCHEMA)
    assert time.monotonic() - since < 10


def test_it_is_asked_once_more_and_told_what_was_wrong():
    judge = Scripted('{"task": "paint", "object": "x"}', json.dumps(PLAIN))
    assert asyncio.run(ask_json(judge, "?", SCHEMA)) == PLAIN
    first, second = (question for _, question, _ in judge.asked)
    assert second.startswith(first) and "task is paint, but one of add, remove, recolour" in second


def test_two_misfits_are_an_error_with_its_remedy():
    judge = Scripted("a hat")
    with pytest.raises(JudgeUnreadable, match="scripted answered 'a hat' twice.*no JSON object.*Take a larger model"):
        asyncio.run(ask_json(judge, "?", SCHEMA))
    assert len(judge.asked) == 2


def test_a_judge_that_thinks_gets_room():
    judge = Scripted(Answer("", cut=True), json.dumps(PLAIN))
    judge.thought_tokens = 500
    assert asyncio.run(ask_json(judge, "?", SCHEMA, most_tokens=100)) == PLAIN
    assert [most for _, _, most in judge.asked] == [100, 600]
