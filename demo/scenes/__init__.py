"""Seeded synthetic scenes: a source, an instruction in plain words, the exact target and a checker.

Every scene follows from its seed alone, at any size: the same seed at 64 and at 256 px is the same scene.
Training uses seeds below `UNSEEN`; measurements use seeds from there on.
"""

from dataclasses import dataclass

import numpy as np

from .checker import Verdict, changed_pixels, judge
from .edits import TASKS, Rejected, draw_edit
from .words import vocabulary

__all__ = ["PANEL", "TASKS", "UNSEEN", "Example", "Verdict", "changed_pixels", "judge", "make", "unseen", "vocabulary"]

PANEL = 64  # px, the size the demo model knows
UNSEEN = 2**40  # the first seed that training never draws
MIN_CHANGED = 0.008  # share of the panel that an edit changes at least
MIN_CHANGE = 0.12  # mean absolute change of the changed pixels at least
_ATTEMPTS = 200


@dataclass(frozen=True)
class Example:
    """One edit. Images are (size, size, 3) float32 RGB in [0, 1]; `kind` is the sort of edit inside its family."""

    source: np.ndarray
    target: np.ndarray
    instruction: str
    caption: str
    task: str
    kind: str
    seed: int

    def check(self, edited: np.ndarray) -> Verdict:
        """Was the instruction carried out? `edited` is (size, size, 3) in [0, 1]."""
        return judge(self.source, self.target, edited)


def _is_clear(source: np.ndarray, target: np.ndarray) -> bool:
    changed = changed_pixels(source, target)
    return bool(changed.mean() >= MIN_CHANGED) and float(np.abs(target - source)[changed].mean()) >= MIN_CHANGE


def make(seed: int, size: int = PANEL, task: str | None = None) -> Example:
    """The scene of a seed.

    Args:
        seed: not negative; below `UNSEEN` for training.
        size: side in pixels.
        task: one of `TASKS`; None draws one.
    Raises:
        ValueError: unknown task.
    """
    if task is not None and task not in TASKS:
        raise ValueError(f"scenes.make: got task {task!r}, but the tasks are {', '.join(TASKS)}. Choose one of them.")
    rng = np.random.default_rng(seed)
    task = task or TASKS[int(rng.integers(len(TASKS)))]
    for _ in range(_ATTEMPTS):
        before = rng.bit_generator.state
        try:
            drawn = draw_edit(rng, task, PANEL)
        except Rejected:
            continue
        if _is_clear(*drawn[:2]):
            if size != PANEL:  # decided at one size, so that a seed is one scene at every size
                rng.bit_generator.state = before
                drawn = draw_edit(rng, task, size)
            source, target, instruction, described, kind = drawn
            return Example(source, target, instruction, described, task, kind, seed)
    raise RuntimeError(f"scenes.make: seed {seed} gave no clear {task} in {_ATTEMPTS} draws")


def unseen(count: int, size: int = PANEL, first: int = 0) -> list[Example]:
    """`count` scenes that training never saw, the families in turn."""
    return [make(UNSEEN + i, size, TASKS[i % len(TASKS)]) for i in range(first, first + count)]
