"""Files that are there whole or not at all: written beside their place, then put into it in one go."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a new file beside `path`, then give it that name; a link there is replaced, not followed.

    The file gets the mode that the user's umask gives, whatever `write` set, and is on the disk before it has its name.

    Raises:
        OSError: it cannot be written; nothing of it is left, and what was at `path` is as it was.
    """
    beside = path.with_name(f".{path.stem}-{secrets.token_hex(8)}.part{path.suffix}")
    try:
        with open(beside, "xb"):
            mode = stat.S_IMODE(beside.stat().st_mode)
        write(beside)
        beside.chmod(mode)
        sync(beside)
        os.replace(beside, path)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Bring a file or a folder's entries to the disk."""
    if os.name == "nt":  # no handle on folders there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
