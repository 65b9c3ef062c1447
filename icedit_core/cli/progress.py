"""A progress bar for a terminal; where there is none, a line for each node that begins."""

from __future__ import annotations

from types import TracebackType
from typing import TextIO

from ..client import Progress

WIDTH = 30


class Bar:
    """Shows a run's progress; use it with `with`, so that the line is ended whatever happens."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._length = 0
        self._nodes: dict[str, list[str]] = {}  # type -> ids, in the order in which they were met
        self._open = ""  # label of the node whose line is not ended
        self._told: set[str] = set()

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._length or self._open:
            self._stream.write("\n")

    def show(self, step: Progress) -> None:
        label = self._label(step)
        if self._live:
            done = step.value / step.max if step.max else 0.0
            filled = round(WIDTH * done)
            steps = f"{step.value}/{step.max} " if step.max else ""
            text = f"[{'#' * filled}{'.' * (WIDTH - filled)}] {steps}{label}"
            self._stream.write("\r" + text.ljust(self._length))
            self._length = max(self._length, len(text))
        else:
            self._tell(label, step.max)
        self._stream.flush()

    def _label(self, step: Progress) -> str:
        """The node's type, and a number from its second node on."""
        name = step.node_type or f"node {step.node_id}"
        ids = self._nodes.setdefault(name, [])
        if step.node_id not in ids:
            ids.append(step.node_id)
        number = ids.index(step.node_id) + 1
        return name if number == 1 else f"{name} {number}"

    def _tell(self, label: str, steps: int) -> None:
        """A node's line: its label when it begins, its number of steps once that is known; each is said once."""
        if label != self._open and label not in self._told:
            self._stream.write(("\n" if self._open else "") + f"  {label}")
            self._open = label
            self._told.add(label)
        if steps and label == self._open:
            self._stream.write(f": {steps} steps\n")
            self._open = ""
