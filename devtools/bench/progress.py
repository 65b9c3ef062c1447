"""What a long bench shows and keeps: lines with the time that is left, and every result as soon as there is one.

    with Progress("soak", total=1000, made={"weights": hashes()}) as progress:
        for number in range(1000):
            progress.get(str(number), lambda: measure(number))
        write(progress.results)

Results are lines of out/NAME-....jsonl. A run that is stopped goes on with them; one that ended well removes the file,
once the block around it has written its figures.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "out"
PACK = ("icedit_core", "nodes", "demo")
SAID = 5.0  # seconds at least between two lines


class Progress:
    """Count, show and keep the results of one bench.

    Args:
        name: the bench.
        total: how many results there will be.
        made: what they depend on (weights, options, code), as JSON has it. Each `made` has a file of its own, so
            results of others are neither mixed in nor lost. None: the bench keeps its results itself.
        silence: seconds without news after which a line says that the bench is still at work.
        remove: remove the file once the block ended well.
    """

    def __init__(
        self, name: str, total: int, made: dict | None = None, folder: Path = OUT, silence: float = 30, remove=True
    ):
        self.name, self.total, self.silence, self.remove = name, total, silence, remove
        self.log = logging.getLogger(name)
        self.path = (
            None if made is None else folder / f"{name}-{digest(json.dumps(made, sort_keys=True).encode())}.jsonl"
        )
        self.results: dict[str, Any] = {}
        self.done = self.kept = 0
        self._start = self._said = time.monotonic()
        self._ended = threading.Event()
        if self.path:
            self._begin(self.path, made)

    def _begin(self, path: Path, made: dict | None) -> None:
        """Take over what an earlier run kept; a last line that was cut off in the middle is dropped."""
        whole = b""
        for line in path.read_bytes().splitlines(keepends=True) if path.is_file() else ():
            if not line.endswith(b"\n"):
                break
            if whole:
                self.results.update([json.loads(line)])
            whole += line
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(whole or json.dumps(made).encode() + b"\n")
        self.done = self.kept = len(self.results)
        if self.kept:
            self._say(f"{self.kept} of {self.total} are kept from an earlier run in {path}; delete it to begin anew")

    def __enter__(self) -> Progress:
        self._start = self._said = time.monotonic()
        threading.Thread(target=self._break_silence, daemon=True).start()
        return self

    def __exit__(self, kind, *_) -> None:
        self._ended.set()
        if not self.path:
            return
        if kind is None and self.remove:
            self.path.unlink()
        elif kind is not None or self.done < self.total:
            words = f"{self.done} of {self.total} are kept in {self.path}, the same command goes on with them"
            self._say(f"stopped; {words}")

    def get(self, key: str, measure: Callable[[], Any]) -> Any:
        """The result of that name: the kept one, or what `measure` gives, which is kept from now on."""
        if key not in self.results:
            self.add(key, measure())
        return self.results[key]

    def add(self, key: str, result: Any, note: str = "") -> None:
        """Keep a result and, if the last line is some seconds old, show how far the bench is."""
        if self.path:
            line = json.dumps([key, result])
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            result = json.loads(line)[1]  # as a run that takes it over has it
        self.results[key] = result
        self.done += 1
        if note or self.done == self.total or time.monotonic() - self._said >= SAID:
            self._say(f"{self.state()}{'; ' if note else ''}{note}")

    def state(self) -> str:
        """How much is done, how long it took, and how long the rest will take at that pace."""
        took, new = time.monotonic() - self._start, self.done - self.kept
        left = f", about {clock(took / new * (self.total - self.done))} left" if new and self.done < self.total else ""
        return f"{self.done} of {self.total} after {clock(took)}{left}"

    def _say(self, words: str) -> None:
        self._said = time.monotonic()
        self.log.info("%s: %s", self.name, words)

    def _break_silence(self) -> None:
        while not self._ended.wait(max(0.01, self._said + self.silence - time.monotonic())):
            if time.monotonic() - self._said >= self.silence:
                self._say(f"at work, {self.state()}")


def clock(seconds: float) -> str:
    """1:05, or 1:02:05 from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:8]


def code(root: Path = ROOT) -> str:
    """A digest of the pack's Python: figures of another pack are not taken over, those of a mended page are."""
    files = sorted(path for folder in PACK for path in (root / folder).rglob("*.py"))
    return digest(b"".join(path.relative_to(root).as_posix().encode() + path.read_bytes() for path in files))


def packed(picture: np.ndarray) -> str:
    """A picture (H, W, 3) of 8-bit values as text, to stand in a result."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def unpacked(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
