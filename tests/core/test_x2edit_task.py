"""The task of an instruction by a judge's answer."""

import asyncio

import pytest

from icedit_core.judges import Answer
from icedit_core.x2edit import task_question, tasks


class Scripted:
    name = "scripted"

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    async def ask(self, pictures, question, most_tokens):
        self.asked.append((len(pictures), question, most_tokens))
        return Answer(self.answers.pop(0))


def named(*answers, instruction="Take the hat away"):
    judge = Scripted(*answers)
    return asyncio.run(task_question.named(judge, instruction)), judge.asked


@pytest.mark.parametrize(
    ("answer", "task"),
    [
        ("remove", "remove"),
        (" Remove.\n", "remove"),
        ("**remove**", "remove"),
        ('"implicit change"', "implicit change"),
        ("implicit_change", "implicit change"),
        ("low_leval", "low level"),
        ("\u5220\u9664\u4e3b\u4f53", "remove"),
        ("\u7c7b\u522b\uff1a\u98ce\u683c\u66f4\u6539", "style"),
        ("The kind is: background", "background"),
        ("<think>add? no</think>remove", "remove"),
        ("other", "other"),
    ],
)
def test_answers_that_name_a_task(answer, task):
    (name, note), asked = named(answer)
    assert (name, note) == (task, "") and len(asked) == 1


@pytest.mark.parametrize("answer", ["", "I cannot say", "remove or add", "removal of the hat", "7"])
def test_an_unknown_answer_is_other_with_a_note(answer):
    (name, note), asked = named(answer, answer)
    assert name == "other" and "names no task: other is taken" in note
    assert len(asked) == 2 and asked[1][1] == asked[0][1] + task_question.REMINDER


def test_the_second_answer_counts():
    assert named("hm", "text")[0] == ("text", "")


def test_the_question_has_the_instruction_and_every_task_and_no_picture():
    _, ((pictures, question, _),) = named("add", instruction="  Put {a} hat on\n")
    assert pictures == 0 and "\n\nPut {a} hat on\n\n" in question
    assert all(f"\n- {name}: " in question for name in tasks.NAMES)
    assert all(task_question.read(Answer(name)) == name for name in tasks.NAMES)
    assert all(task_question.read(Answer(name)) for name in tasks.NAMES.values() if name)
