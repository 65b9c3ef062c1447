"""Benches and trainings share a machine: who measures says so, and who trains waits."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing waits there
    fcntl = None  # type: ignore[assignment]


def _file() -> Path:
    cache = Path(os.environ.get("ICEDIT_CACHE") or Path.home() / ".cache" / "icedit")
    cache.mkdir(parents=True, exist_ok=True)
    return cache / "measuring"


@contextlib.contextmanager
def measuring() -> Iterator[None]:
    """While inside, `is_measuring` is true for other processes; also after a crash it ends with the process."""
    with _file().open("w") as file:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_SH)  # several benches may measure at once
        yield


def is_measuring() -> bool:
    """Does another process measure right now?"""
    if not fcntl:
        return False
    with _file().open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
