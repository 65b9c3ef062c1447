"""The options of a judge: which server and model, and in which questions it is asked."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..evaluation.judging import Asked
    from ..judges.asked import QuestionSet

ENDING = ".questions.txt"
SETS = ("auto", "VIEScore", "EditScore")


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument(
        "--judge", metavar="URL", help="an OpenAI-compatible server with a vision-language model, e.g. "
        "http://127.0.0.1:8000/v1; each edit is scored",
    )  # fmt: skip
    parser.add_argument("--judge-model", default="", metavar="NAME", help="the model's name there")
    parser.add_argument(
        "--judge-key", default="", metavar="VARIABLE",
        help="the environment variable with the key, ICEDIT_JUDGE_...; never the key itself",
    )  # fmt: skip
    parser.add_argument(
        "--questions", default="auto", metavar="|".join((*SETS, "FILE", "DIR")),
        help=f"how the judge is asked; FILE: a question file; DIR: one for each task, TASK{ENDING}; default: auto",
    )  # fmt: skip
    parser.add_argument("--passes", type=int, default=1, metavar="N", help="of EditScore; published: 1 and 4")


def read(arguments: argparse.Namespace) -> Asked | None:
    """The judge, if there is one.

    Raises:
        ValueError: options that do not fit together, or a question file that cannot be read.
    """
    if arguments.judge is None:
        if arguments.judge_model or arguments.judge_key or arguments.questions != "auto" or arguments.passes != 1:
            raise ValueError("--judge-model, --judge-key, --questions and --passes are a judge's. Add --judge URL.")
        return None
    from ..evaluation.judging import Asked, check
    from ..judges.asked.choosing import MOST_PASSES, Signs, choose
    from ..judges.server import ServerJudge

    model = arguments.judge_model.strip()
    if not model:
        raise ValueError("--judge got no model, but its name on the server is needed. Add --judge-model NAME.")
    if not 1 <= arguments.passes <= MOST_PASSES:
        raise ValueError(f"--passes got {arguments.passes}, but 1 to {MOST_PASSES} is needed.")
    # The name is all that is known here: EditScore's models without Qwen3 in it stand on Qwen2.5-VL.
    signs = Signs(model, numbered="qwen3" not in model.lower())
    name = arguments.questions
    files = {} if name in SETS else _files(Path(name))
    sets: dict[str, QuestionSet] = {
        task: choose("question file", arguments.passes, one, signs) for task, one in files.items()
    } or {"": choose(name, arguments.passes, None, signs)}
    check(sets)
    return Asked(ServerJudge(arguments.judge, model, arguments.judge_key), sets)


def _files(given: Path) -> dict[str, QuestionSet]:
    """Task -> the questions of its file; "" for a file that is for all."""
    from ..judges.asked.question_file import read as read_file

    if given.is_file():
        return {"": read_file(given, given.name)}
    found = sorted(given.glob(f"*{ENDING}")) if given.is_dir() else []
    if not found:
        raise ValueError(
            f"--questions got {given}, but {', '.join(SETS)}, a question file, or a folder with TASK{ENDING} for each "
            "task is needed."
        )
    return {file.name.removesuffix(ENDING): read_file(file, file.name) for file in found}
