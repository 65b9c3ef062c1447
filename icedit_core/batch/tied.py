"""Run a command that ends when this script's standard input does: `python tied.py COMMAND ...`, standard library alone.

Who starts it holds the other end of the pipe, which the system closes however that process ends. So a ComfyUI never
outlives the worker that started it, and never keeps its GPU.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

GRACE = 10.0  # seconds between asking and killing


def main(command: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    child = subprocess.Popen(list(command), stdin=subprocess.DEVNULL, start_new_session=os.name != "nt")
    threading.Thread(target=_end_with_the_pipe, args=(child,), daemon=True).start()
    return child.wait()


def _end_with_the_pipe(child: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):
        pass
    _signal(child, signal.SIGTERM)
    try:
        child.wait(GRACE)
    except subprocess.TimeoutExpired:
        _signal(child, getattr(signal, "SIGKILL", signal.SIGTERM))


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    """Signal the command and its children, if it still runs."""
    if child.poll() is None:
        if sys.platform == "win32":
            child.terminate()
        else:
            os.killpg(child.pid, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
