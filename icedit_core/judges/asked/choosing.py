"""Which question set a judge is asked in: the one named, or the one that its own files say it was trained on."""

from __future__ import annotations

from dataclasses import dataclass

from .base import QuestionSet
from .edit_reward import EditReward
from .editscore import EditScore
from .general import GENERAL

WHO = "ICEdit judge"
AUTO, VIESCORE, EDITSCORE, EDITREWARD, FILE = "auto", "VIEScore", "EditScore", "EditReward", "question file"
MOST_PASSES = 16


@dataclass(frozen=True)
class Signs:
    """What a judge's files say.

    names: of its folders and of the model that its adapter was trained on; numbered: it is a Qwen2.5-VL, whose pictures
    EditScore's package numbers; heads: its weights have heads that rate.
    """

    names: str = ""
    numbered: bool = False
    heads: bool = False

    @property
    def own(self) -> str:
        if self.heads:
            return EDITREWARD
        return EDITSCORE if "editscore" in self.names.lower() else VIESCORE


def choose(questions: str, passes: int, file: QuestionSet | None, signs: Signs) -> QuestionSet:
    """The question set.

    Args:
        questions: one of the names above.
        passes: of EditScore; 1 for all others.
        file: the user's own set, if there is one.
    Raises:
        ValueError: inputs that contradict each other or the judge's files.
    """
    if file is None and questions == FILE:
        raise _refused("questions is 'question file' without one", "a file in question_file")
    if file is not None and questions not in (AUTO, FILE):
        raise _refused(f"questions is {questions} with a question_file", "one of the two")
    name = questions if questions != AUTO else FILE if file is not None else signs.own
    if signs.heads != (name == EDITREWARD):
        has = "has heads that rate and writes no text" if signs.heads else "has no heads that rate"
        raise _refused(f"the model {has}, and the questions are {name}", "EditReward's questions for its own model")
    if passes != 1 and name != EDITSCORE:
        raise _refused(f"passes is {passes}, and the questions are {name}", "1, since only EditScore is asked so,")
    if file is not None:
        return file
    if name == EDITSCORE:
        return EditScore(passes, signs.numbered)
    return EditReward() if name == EDITREWARD else GENERAL


def _refused(got: str, needed: str) -> ValueError:
    return ValueError(
        f"{WHO}: {got}, but {needed} is needed. Set questions to auto, passes to 1, question_file to none."
    )
