"""Seeded synthetic scenes: a source, an instruction in plain words, the exact target and a checker.

Every scene follows from its seed alone, at any size: the same seed at 96 and at 192 px is the same scene.
Training uses seeds below `UNSEEN` and the split "train"; measurements use seeds from there on, and all splits.
"""

from dataclasses import dataclass

import numpy as np

from .checker import Verdict, changed_pixels, judge
from .edits import TASKS, Edit, Rejected, draw_edit, draw_scene
from .words import known, vocabulary

__all__ = [
    "PANEL",
    "SPLITS",
    "TASKS",
    "UNSEEN",
    "Edit",
    "Example",
    "Verdict",
    "changed_pixels",
    "judge",
    "known",
    "make",
    "unseen",
    "vocabulary",
]

PANEL = 96  # px, the size the demo model knows
UNSEEN = 2**40  # the first seed that training never draws
SPLITS = ("train", "combination", "wording")  # as in training; an unseen colour, shape and task; an unseen wording
MIN_CHANGED = 0.008  # share of the panel that an edit changes at least
MIN_CHANGE = 0.12  # mean absolute change of the changed pixels at least
_ATTEMPTS = 400


@dataclass(frozen=True)
class Example:
    """One edit. Images are (size, size, 3) float32 RGB in [0, 1]; `kind` is the sort of edit inside its family."""

    source: np.ndarray
    target: np.ndarray
    instruction: str
    caption: str
    task: str
    kind: str
    split: str
    seed: int
    edit: Edit

    def check(self, edited: np.ndarray) -> Verdict:
        """Was the instruction carried out? `edited` is (size, size, 3) in [0, 1]."""
        return judge(self.source, self.target, edited)


def _is_clear(source: np.ndarray, target: np.ndarray) -> bool:
    changed = changed_pixels(source, target)
    return bool(changed.mean() >= MIN_CHANGED) and float(np.abs(target - source)[changed].mean()) >= MIN_CHANGE


def make(seed: int, size: int = PANEL, task: str | None = None, split: str = "train") -> Example:
    """The scene of a seed.

    Args:
        seed: not negative; below `UNSEEN` for training.
        size: side in pixels.
        task: one of `TASKS`; None draws one.
        split: one of `SPLITS`. "combination" asks for a colour, shape and task that training never shows together,
            in a wording of training; "wording" the other way round.
    Raises:
        ValueError: unknown task or split.
    """
    if task is not None and task not in TASKS:
        raise ValueError(f"scenes.make: got task {task!r}, but the tasks are {', '.join(TASKS)}. Choose one of them.")
    if split not in SPLITS:
        raise ValueError(f"scenes.make: got split {split!r}, but there are {', '.join(SPLITS)}. Choose one of them.")
    rng = np.random.default_rng(seed)
    task = task or TASKS[int(rng.integers(len(TASKS)))]
    for _ in range(_ATTEMPTS):
        try:
            edit = draw_edit(rng, draw_scene(rng), task)
        except Rejected:
            continue
        if edit.is_held_out != (split == "combination"):
            continue
        source, target = edit.source(PANEL), edit.target(PANEL)
        if _is_clear(source, target):  # decided at one size, so that a seed is one scene at every size
            if size != PANEL:
                source, target = edit.source(size), edit.target(size)
            text = edit.instruction(rng, held_out=split == "wording")
            return Example(source, target, text, edit.caption(), task, edit.kind, split, seed, edit)
    raise RuntimeError(f"scenes.make: seed {seed} gave no clear {task} in {_ATTEMPTS} draws")


def unseen(count: int, size: int = PANEL, first: int = 0) -> list[Example]:
    """`count` scenes that training never saw: the families in turn, and the splits in turn."""
    families = len(TASKS)
    return [
        make(UNSEEN + i, size, TASKS[i % families], SPLITS[i // families % len(SPLITS)])
        for i in range(first, first + count)
    ]
