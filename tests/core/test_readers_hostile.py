"""Answers made to break the readers: unreadable in no time, never an exception, never a number that nobody wrote."""

from __future__ import annotations

import time

import pytest

from icedit_core.judges import viescore
from icedit_core.judges.ask_json import found
from icedit_core.judges.asked import readers, reasons_first
from icedit_core.judges.judge import LONGEST_ANSWER, Answer
from icedit_core.judges.small_schema import Misfit
from icedit_core.x2edit import task_question

MOST_SECONDS = 3.0  # of CPU time for one answer and one reader; the slowest takes a third of one
BLANKS = " " * LONGEST_ANSWER
DIGITS = "9" * 400
HOSTILE = {
    "an integer that is no float": f'{{"reasoning": "x", "score": [{DIGITS}, 1]}}',
    "such a list alone": f"[{DIGITS}, 1]",
    "an integer that Python does not read": f"[{'9' * 5000}, 1]",
    "digits of another script": "[\u0663, \u0664]",
    "a name and colons": "A" + " " * 60 + ":" * LONGEST_ANSWER,
    "a name of dashes": "A-" * 30 + ":" * LONGEST_ANSWER,
    "a name, blanks and digits": "Abc" + " " * 60 + ":" + " " * 60 + "9" * LONGEST_ANSWER,
    "reasons without end": "{score: [1, 2] " + ("reasoning:" + " " * 200) * 70 + "}",
    "reasons and blanks": "{score: [1, 2] reasoning:" + BLANKS,
    "many reasons": '{"score": [1, 2], bad ' + "reasoning:" * 1500 + "}",
    "objects in lists": '{"a":[1,' * 2000,
    "deep in a winner": '{"winner":' + "[" * 900 + "]" * 900 + "}",
    "deep in a region": '{"edit_region":[{"bbox_2d":[1,1,9,9],"label":' + "[" * 900 + "]" * 900 + "}]}",
    "open scores": "<score>" * 2000,
    "open answers": "<score>[1]</score>" + "<answer>" * 1900,
    "half of a character": '{"winner": "\\ud800", "score": [1, 2], "reasoning": "\\ud800"}',
    "channels": "<|channel|>" * 1000 + BLANKS,
}
SCHEMA = {
    "type": "object",
    "properties": {"winner": {"type": "string"}, "score": {"type": "array", "items": {"type": "number"}}},
}


def asked(text: str) -> object:
    try:
        return found(text, SCHEMA)
    except Misfit as fault:
        return str(fault).encode()


def of_a_file(name: str, text: str) -> object:
    reader = readers.READERS[name]
    return reader.read([text] * len(reader.pictures), reader.largest)


ALL = {name: (lambda text, name=name: of_a_file(name, text)) for name in readers.READERS} | {
    "EditScore": lambda text: reasons_first.read(text, 1, 25),
    "VIEScore": viescore.read,
    "a question in JSON": asked,
    "a task": lambda text: task_question.read(Answer(text)),
}


@pytest.mark.parametrize("name", ALL)
def test_hostile_answers_are_unreadable_in_no_time(name):
    for what, text in HOSTILE.items():
        began = time.process_time()
        value = ALL[name](Answer(text).text)
        took = time.process_time() - began
        assert took < MOST_SECONDS, f"{what}: {took:.1f} s"
        assert DIGITS[:50] not in repr(value), what


def test_numbers_without_a_comma_are_not_joined():
    with pytest.raises(Misfit):
        found('{"score": [2 1], winner: "a"}', SCHEMA)
