"""A ComfyUI that is started on this machine, and ends with the process that started it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .. import folder_lock, foreign
from . import tied

LOOPBACK = "127.0.0.1"
PREFIX = "icedit-comfyui-"  # of the folder for what it writes
WRITTEN = ("output", "temp")  # folders of what it makes
SETTLED = 10.0  # seconds after which a folder that is in use is locked for sure
MOST_LOG = 2000  # characters of its end that an error shows


@dataclass(frozen=True)
class Start:
    """How a ComfyUI is started.

    Attributes:
        folder: with ComfyUI's main.py.
        python: that runs it; "" is the one that runs this.
        arguments: further ones of main.py, e.g. ("--cpu",).
    """

    folder: Path
    python: str = ""
    arguments: tuple[str, ...] = ()


class Started:
    """A running ComfyUI at a free port of this machine.

    Several of one folder do not meet: each has folders of its own for what it writes, because ComfyUI numbers its files
    without asking others. A process that is killed leaves them; the next one that starts or ends one here removes them.

    Attributes:
        folder: holds those folders, and whatever else should go with them.

    Raises:
        OSError: it cannot be started.
        ValueError: there is no ComfyUI in the folder.
    """

    def __init__(self, start: Start) -> None:
        if not (start.folder / "main.py").is_file():
            raise ValueError(
                f"--comfyui got {start.folder}, but ComfyUI's main.py is not in it on {socket.gethostname()}."
            )
        port = _free_port()
        self.url = f"http://{LOOPBACK}:{port}"
        self._log = tempfile.TemporaryFile()
        remove_abandoned()
        self._own = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        self.folder = Path(self._own.name)
        self._lock = folder_lock.FolderLock(self.folder)
        self._lock.take()
        command = [start.python or sys.executable, tied.__file__, "main.py", "--listen", LOOPBACK, "--port", str(port)]
        command += ["--disable-auto-launch", *self._folders(self.folder)]
        self._process = subprocess.Popen(
            [*command, *start.arguments],
            cwd=start.folder,
            start_new_session=os.name != "nt",
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def said(self) -> str:
        """The end of its log."""
        size = self._log.seek(0, 2)
        self._log.seek(max(0, size - MOST_LOG))
        return foreign.text(self._log.read().decode("utf-8", "replace"), MOST_LOG)

    def empty(self) -> None:
        """Remove what it has written so far, which was fetched; a long run would fill the disk."""
        for name in WRITTEN:
            for file in (self.folder / name).rglob("*"):
                if file.is_file():
                    file.unlink(missing_ok=True)

    def end(self) -> None:
        """End it, and wait for that."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(2 * tied.GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._log.close()
        self._lock.release()
        self._own.cleanup()
        remove_abandoned()

    @staticmethod
    def _folders(own: Path) -> list[str]:
        found = [f"--database-url=sqlite:///{(own / 'comfyui.db').as_posix()}"]
        for name in (*WRITTEN, "user"):
            (own / name).mkdir()
            found.append(f"--{name}-directory={own / name}")
        return found


def remove_abandoned() -> None:
    """Remove the folders that killed processes of this user left: those whose lock nobody holds."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{folder_lock.NAME}"):
        with suppress(OSError, ValueError):
            if time.time() - lock.stat().st_mtime > SETTLED:
                held = folder_lock.FolderLock(lock.parent)
                held.take()
                held.release()
                shutil.rmtree(lock.parent, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        number: int = probe.getsockname()[1]
        return number
