"""How far a run is: a line that is written over on a terminal, else a line now and then."""

from __future__ import annotations

import time
from typing import TextIO

EVERY = 10.0  # seconds between two lines where there is no terminal


class Counter:
    """Counts rows; use it with `with`, so that the line is ended whatever happens.

    Args:
        total: rows of the whole run.
        before: of these, what earlier runs did.
    """

    def __init__(self, stream: TextIO, total: int, before: int) -> None:
        self._stream, self._total, self._before = stream, total, before
        self._live = stream.isatty()
        self._new = self.failed = self._length = 0
        self._start = self._said = time.monotonic()

    def __enter__(self) -> Counter:
        self._start = self._said = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def add(self, failed: bool) -> None:
        """Count one row that has its record now."""
        self._new += 1
        self.failed += failed
        last = self._before + self._new == self._total
        if self._live or last or time.monotonic() - self._said >= EVERY:
            self._said = time.monotonic()
            self._show(self.state())

    def say(self, words: str) -> None:
        """A line of its own."""
        self._clear()
        self._stream.write(f"  {words}\n")
        self._stream.flush()

    def state(self) -> str:
        """E.g. `12 of 200 rows, 1 failed, 3.2 s a row, about 10:02 left`."""
        done = self._before + self._new
        pace = (time.monotonic() - self._start) / self._new if self._new else 0.0
        words = [f"{done} of {self._total} rows"]
        words += [f"{self.failed} failed"] if self.failed else []
        words += [f"{pace:.3g} s a row"] if self._new else []
        words += [f"about {clock(pace * (self._total - done))} left"] if self._new and done < self._total else []
        return ", ".join(words)

    def _show(self, text: str) -> None:
        if self._live:
            self._stream.write("\r" + text.ljust(self._length))
            self._length = len(text)
        else:
            self._stream.write(f"  {text}\n")
        self._stream.flush()

    def _clear(self) -> None:
        if self._length:
            self._stream.write("\n")
            self._length = 0


def clock(seconds: float) -> str:
    """1:05, or 1:02:05 from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
