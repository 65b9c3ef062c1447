"""One run a folder: a file that the system itself unlocks when the process ends, however it ends."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

NAME = ".lock"


class FolderLock:
    """Held from `take` to `release`, or to the end of the process; the file stays.

    Args:
        folder: made if it is not there.
        who: the command, for the error.
        work: what a folder takes one of.
        remedy: how another folder is chosen.
    """

    def __init__(
        self,
        folder: Path,
        who: str = "icedit train",
        work: str = "training",
        remedy: str = "choose another output.folder",
    ):
        self._folder = folder
        self._words = (who, work, remedy)
        self._file: IO[bytes] | None = None

    def take(self) -> None:
        """Raise ValueError if another run has it, and OSError if the folder cannot be written."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = (self._folder / NAME).open("ab")
        try:
            _lock(file)
        except (BlockingIOError, PermissionError):
            file.close()
            who, work, remedy = self._words
            raise ValueError(
                f"{who}: another {work} writes to {self._folder}, but a folder takes one. "
                f"Wait for its end, or {remedy}."
            ) from None
        except OSError:
            file.close()
            raise
        self._file = file

    def release(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


def _lock(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
