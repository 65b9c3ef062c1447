"""Child processes that always end: with their children, on exceptions, on signals, and with a dead parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

GRACE = 10.0  # seconds between asking and killing

# Runs in the child just before it becomes the command: a limit on memory, and on Linux the kernel's promise to end
# it with its parent, even when that one is killed without a chance to clean up.
_LAUNCHER = """
import ctypes, os, resource, signal, sys
limit, parent, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
if limit:
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        sys.exit("the parent is gone")
os.execv(command[0], command)
"""


@contextmanager
def child(
    command: Sequence[str],
    *,
    cwd: Path,
    log_file: Path,
    env: Mapping[str, str] | None = None,
    memory_limit: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command with its output in `log_file`, and end it with all its children on the way out.

    Args:
        memory_limit: bytes of address space (enforced on Linux only).
    """
    with log_file.open("wb") as log:
        process = spawn(command, cwd=cwd, output=log, env=env, memory_limit=memory_limit)
        try:
            yield process
        finally:
            end(process)


def spawn(
    command: Sequence[str],
    *,
    cwd: Path,
    output: IO[bytes] | int,
    env: Mapping[str, str] | None = None,
    memory_limit: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own, for `end` to end."""
    group_flag = 0
    if os.name == "nt":
        group_flag = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP")  # noqa: B009 - only Windows has it
    else:
        limit = str(memory_limit or 0) if sys.platform == "linux" else "0"
        command = [sys.executable, "-c", _LAUNCHER, limit, str(os.getpid()), *command]
    return subprocess.Popen(
        list(command),
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=os.name != "nt",
        creationflags=group_flag,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process and its children to stop, kill what is left after the grace time, and reap it."""
    if os.name == "nt":
        # /T takes the children too; without a console of its own a process cannot be asked more politely.
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], check=False, capture_output=True)
        process.wait()
        return
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        pass
    finally:  # also when a second Ctrl-C cuts the grace time short
        _signal_group(process, signal.SIGKILL)
        process.wait()


@contextmanager
def terminated_by_signals() -> Iterator[None]:
    """Make SIGTERM and SIGHUP do what Ctrl-C does, so that `finally` blocks run, under pytest and asyncio too."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers; it unwinds its own stack
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    before = {number: signal.signal(number, _unwind) for number in numbers if _is_default(number)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)  # it leads its own session, so the group is the process and its children
    except (ProcessLookupError, PermissionError):  # nobody is left; macOS says so with a permission error
        pass


def _is_default(number: int) -> bool:
    return signal.getsignal(number) in (signal.SIG_DFL, None)


def _unwind(number: int, frame: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)
