"""Runs the linters and every ring of tests, each ring in a pytest process of its own, and sums up.

The linters run beside the first ring. The rings run one after the other: some of their tests know limits of time.

A ring is a folder in tests/ with tests in it. Rings are kept apart because ComfyUI's modules, once imported, stay:
the pack's `nodes` folder must not be on the path where ComfyUI's own `nodes.py` is meant.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .. import chromium, processes
from ..server import MEMORY_LIMIT, has_accelerator

CODE = ROOT = Path(__file__).resolve().parents[2]
LINTERS = (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"])
RING_ORDER = ("core", "host", "browser")
# pytest, without `python -m`'s habit of putting the current folder on the path.
PYTEST = "import sys; sys.path[:] = [p for p in sys.path if p]; import pytest; sys.exit(pytest.main(sys.argv[1:]))"


def main(argv: list[str]) -> int:
    argv, pytest_args = _split(argv)
    parser = argparse.ArgumentParser(
        prog="dev.py test", description=__doc__, usage="%(prog)s [--install-browser] [RING ...] [-- ARGS]"
    )
    parser.add_argument("rings", nargs="*", help=f"lint, {', '.join(rings())}; all by default")
    words = "for the browser ring, let apt-get install Chromium if there is none (as root on Debian; in CI)"
    parser.add_argument("--install-browser", action="store_true", help=words)
    options = parser.parse_args(argv)
    chosen = options.rings
    unknown = sorted(set(chosen) - {"lint", *rings()})
    if unknown:
        parser.error(f"got {', '.join(unknown)}, but the rings are lint, {', '.join(rings())}")
    chosen = chosen or ["lint", *rings()]
    tested = [name for name in chosen if name != "lint"]
    order = [*tested[:1], *(["lint"] if "lint" in chosen else []), *tested[1:]]
    outcomes = {}
    with processes.terminated_by_signals(), ExitStack() as beside:
        lint = beside.enter_context(_linting()) if tested and "lint" in chosen else _lint
        for name in order:
            outcomes[name] = lint() if name == "lint" else _run(name, pytest_args, options.install_browser)
    print()
    for name in chosen:
        print(f"{name + ':':<9}{outcomes[name][1]}")
    return 0 if all(passed for passed, _ in outcomes.values()) else 1


def rings() -> list[str]:
    """The names of the rings, the cheapest first."""
    found = {folder.parent.name for folder in (ROOT / "tests").glob("*/test_*.py")}
    return sorted(found, key=lambda name: (RING_ORDER.index(name) if name in RING_ORDER else len(RING_ORDER), name))


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    at = argv.index("--") if "--" in argv else len(argv)
    return argv[:at], argv[at + 1 :]


def _run(name: str, pytest_args: list[str], install_browser: bool) -> tuple[bool, str]:
    """Whether a ring passed, and its line in the summary."""
    if name == "browser":
        try:
            if not (chromium.install() if install_browser else chromium.find()):
                return True, f"skipped: {chromium.MISSING}"
        except ValueError as problem:
            return False, str(problem)
    return _ring(name, pytest_args)


def _lint() -> tuple[bool, str]:
    started = time.monotonic()
    failed = []
    for command in LINTERS:
        print(f"--- {' '.join(command)}", flush=True)
        if subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode:
            failed.append(" ".join(command))
    words = f"failed: {', '.join(failed)}" if failed else "ruff check, ruff format and mypy passed"
    return not failed, f"{words} in {time.monotonic() - started:.1f}s"


@contextmanager
def _linting() -> Iterator[Callable[[], tuple[bool, str]]]:
    """The linters in a process of their own; gives what waits for it, repeats its output and says what `_lint` says."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "lint"
        with processes.child(
            [sys.executable, str(CODE / "devtools"), "test", "lint"], cwd=CODE, log_file=log
        ) as process:

            def outcome() -> tuple[bool, str]:
                code = process.wait()
                said = log.read_text(encoding="utf-8", errors="replace").rstrip()
                print(said, flush=True)
                return code == 0, said.splitlines()[-1].removeprefix("lint:").strip() if said else f"exit code {code}"

            yield outcome


def _ring(name: str, pytest_args: list[str]) -> tuple[bool, str]:
    """Run one ring; its closing line is repeated in the summary."""
    print(f"--- pytest tests/{name}", flush=True)
    options = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), *(["--color=yes"] * sys.stdout.isatty())]
    command = [sys.executable, "-c", PYTEST, *options, str(ROOT / "tests" / name), *pytest_args]
    # CUDA and Chromium reserve far more address space than they use; the hosts under test have limits of their own.
    limit = None if has_accelerator() or name == "browser" else MEMORY_LIMIT
    process = processes.spawn(command, cwd=ROOT, output=subprocess.PIPE, memory_limit=limit)
    try:
        closing = _repeat(process)
        code = process.wait()
    finally:
        processes.end(process)
    nothing_chosen = code == 5 and bool(pytest_args)  # -k and the like may leave one ring without a test
    return code == 0 or nothing_chosen, closing or f"pytest ended with exit code {code} without a closing line"


def _repeat(process: subprocess.Popen[bytes]) -> str:
    """Pass pytest's output on as it comes; return its closing line, e.g. `12 passed in 3.45s`."""
    closing, line = "", b""
    descriptor = process.stdout.fileno() if process.stdout else -1
    while chunk := os.read(descriptor, 65536):
        sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
        *lines, line = (line + chunk).split(b"\n")
        for text in (re.sub(r"\x1b\[[0-9;]*m", "", raw.decode("utf-8", "replace")).strip(" =\r") for raw in lines):
            if re.search(r"\bin \d+(\.\d+)?s\b", text):
                closing = text
    return closing
