"""The inputs that say how a judge is asked, and the user's question files below the model folders."""

from pathlib import Path

from comfy_api.latest import io

from ...icedit_core.foreign import line
from ...icedit_core.judges.asked import QuestionSet, choosing, question_file
from . import model_folders

NO_FILE = "none"
ENDING = ".questions.txt"
_KINDS = ("LLM", "text_encoders")


def inputs(*others: str) -> list:
    """The inputs of a judge that can be asked in several ways.

    Args:
        others: names of question sets that only this judge has.
    """
    sets = (choosing.AUTO, choosing.VIESCORE, choosing.EDITSCORE, *others, choosing.FILE)
    return [
        io.Combo.Input(
            "questions",
            options=list(sets),
            default=choosing.AUTO,
            optional=True,
            tooltip="How the judge is asked. auto: as it was trained, told by its own files (EditReward by its heads, "
            "EditScore by its name), and in VIEScore's words otherwise.",
        ),
        io.Int.Input(
            "passes",
            default=1,
            min=1,
            max=choosing.MOST_PASSES,
            optional=True,
            advanced=True,
            tooltip="For EditScore: each question is asked so often and the mean counts. Published: 1 and 4.",
        ),
        io.Combo.Input(
            "question_file",
            options=file_names(),
            default=NO_FILE,
            optional=True,
            advanced=True,
            tooltip=f"A question set of your own: a text file below models/LLM that ends in {ENDING}, for judges whose "
            "words this pack does not bring (SpatialReward, PVC-Judge, ImgEdit-Judge, EditThinker).",
        ),
    ]


def file_names() -> list[str]:
    """`NO_FILE`, and the question files as `LLM/...` or `text_encoders/...`."""
    return [NO_FILE, *sorted(_found())]


def chosen(questions: str, passes: int, question_file: str, signs: choosing.Signs | None = None) -> QuestionSet:
    """The question set that the inputs mean.

    Raises:
        ValueError: see `choosing.choose` and `question_file.read`; no such file.
    """
    own = None if question_file == NO_FILE else _read(question_file)
    return choosing.choose(questions, passes, own, signs or choosing.Signs())


def stamp(question_file: str | None) -> str:
    """Changes with the file; a linked name arrives as None."""
    path = _found().get(question_file or "")
    return f"{path.stat().st_size} {path.stat().st_mtime_ns}" if path else ""


def _read(name: str) -> QuestionSet:
    found = _found()
    if name not in found:
        raise ValueError(
            f"ICEdit judge: the question file {line(name)} is not there, but it is needed. Put it into models/LLM with "
            f"a name that ends in {ENDING}, and press R."
        )
    return question_file.read(found[name], name)


def _found() -> dict[str, Path]:
    """Name -> file; where two roots hold the same name, the first counts, as with the host's files."""
    found: dict[str, Path] = {}
    for kind in _KINDS:
        for root in model_folders.roots(kind):
            folders = [root, *model_folders.below(root)] if root.is_dir() else []
            for path in (one for folder in folders for one in sorted(folder.glob(f"*{ENDING}"))):
                found.setdefault(f"{kind}/{path.relative_to(root).as_posix()}", path)
    return found
