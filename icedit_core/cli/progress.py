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

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._length:
            self._stream.write("\n")

    def show(self, step: Progress) -> None:
        name = step.node_type or f"node {step.node_id}"
        if self._live:
            done = step.value / step.max if step.max else 0.0
            filled = round(WIDTH * done)
            steps = f"{step.value}/{step.max} " if step.max else ""
            text = f"[{'#' * filled}{'.' * (WIDTH - filled)}] {steps}{name}"
            self._stream.write("\r" + text.ljust(self._length))
            self._length = max(self._length, len(text))
        elif step.value == step.max:  # a node begins, or is done with its steps
            self._stream.write(f"  {name}{f': {step.max} steps' if step.max else ''}\n")
        self._stream.flush()
