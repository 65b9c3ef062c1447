"""Compare two or more runs over the same rows: paired differences, win rates, pictures. Needs no server."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import needed

NEEDED = {"jinja2": "jinja2", "matplotlib": "matplotlib", "numpy": "numpy", "PIL": "Pillow", "scipy": "scipy"}
"""Module -> package that brings it; all are in the extra `eval`."""


def add(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    words = "a folder of icedit eval or batch, or a JSONL of {row, numbers ...}; the others are compared with the first"
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help=words)
    parser.add_argument(
        "-o", dest="out", type=Path, metavar="OUT", required=True, help="a folder for compare.html, .json"
    )
    parser.add_argument(
        "--name", dest="names", action="append", metavar="NAME", help="of each run in turn; default: folders"
    )
    parser.add_argument(
        "--lower", action="append", default=[], metavar="METRIC", help="of which less is better, beside those known"
    )


def run(arguments: argparse.Namespace) -> int:
    """Compare; returns the exit code.

    Raises:
        ValueError: anything that the user can put right.
    """
    needed.check("icedit compare", NEEDED, 'pip install ".[eval]"')
    from ..evaluation import compare, outcomes

    names = arguments.names or [None] * len(arguments.runs)
    try:
        if len(names) != len(arguments.runs):
            raise ValueError(f"{len(names)} names for {len(arguments.runs)} runs, but one for each is needed.")
        runs = [outcomes.read(given, name) for given, name in zip(arguments.runs, names, strict=True)]
        found = compare.compare(runs, arguments.out, arguments.lower)
    except OSError as problem:
        raise ValueError(f"icedit compare: {problem}.") from None
    except ValueError as problem:
        raise ValueError(f"icedit compare: {problem}") from problem
    print("\n".join([*compare.lines(found), str(arguments.out / compare.PAGE)]))
    return 0
