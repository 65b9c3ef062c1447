"""Chooses the command; each lives in a file of its own with `add` (its arguments) and `run`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from . import batch, compare, convert, edit, evaluate, keep, train

COMMANDS = {
    "edit": edit,
    "batch": batch,
    "eval": evaluate,
    "compare": compare,
    "keep": keep,
    "train": train,
    "convert": convert,
}
INTERRUPTED, WRONG = 130, 2  # exit codes


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="icedit", description="ICEdit outside of ComfyUI.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        words = (module.__doc__ or "").splitlines()[0]
        module.add(commands.add_parser(name, help=words, description=words))
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # its first use reports on every font
    try:
        return COMMANDS[arguments.command].run(arguments)
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return WRONG
    except KeyboardInterrupt as interrupt:
        words = str(interrupt) or "interrupted; the same command goes on"
        print(f"icedit {arguments.command}: {words}.", file=sys.stderr)
        return INTERRUPTED
