"""Run a script that ends when its standard input does: `python tied.py SCRIPT ...`, standard library alone.

Who starts it, in a session of its own, holds the other end of the pipe, which the system closes however that process
ends. So a ComfyUI never outlives the worker that started it, and never keeps its GPU. The script runs in this very
process: another one between them could be killed alone (Ray kills a dead worker's children, but not theirs).
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Sequence

GRACE = 10.0  # seconds between asking and killing


def main(command: Sequence[str]) -> None:
    """Run the script with its arguments, in the folder that it lies in."""
    threading.Thread(target=_end_with_the_pipe, daemon=True).start()
    sys.argv = list(command)
    sys.path[0] = os.path.dirname(os.path.abspath(command[0]))
    runpy.run_path(command[0], run_name="__main__")


def _end_with_the_pipe() -> None:
    while os.read(0, 4096):
        pass
    if sys.platform == "win32" or os.getpgrp() != os.getpid():
        os._exit(1)
    os.killpg(0, signal.SIGTERM)  # its children, too
    time.sleep(GRACE)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
