"""Put the edit of any editor back onto its source, whose own pixels stay where nothing was edited. Needs no server."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import needed

NEEDED = {"torch": "torch", "numpy": "numpy", "PIL": "Pillow"}
"""Module -> package that brings it; all are in the extra `keep`."""


def add(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("source", type=Path, metavar="SOURCE", help="the picture before the edit")
    parser.add_argument("edit", type=Path, metavar="EDIT", help="what the editor made of it, of any size")
    parser.add_argument(
        "-o", dest="out", type=Path, metavar="OUT", required=True,
        help="a .png, .jpg or .webp file of the source's size; .jpg alone does not keep the pixels bit for bit",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    parser.add_argument(
        "--mask", type=Path, metavar="FILE",
        help="a picture of the source's size: white may change, black is kept; without it the change is looked for",
    )  # fmt: skip
    parser.add_argument("--change", type=Path, metavar="FILE", help="also save what was changed: white, else black")
    parser.add_argument(
        "--threshold", type=float, default=1.0, metavar="FACTOR", help="above 1 only stronger changes count; default: 1"
    )
    parser.add_argument("--grow", type=int, default=0, metavar="PX", help="widen the change; negative shrinks it")
    parser.add_argument("--feather", type=int, default=0, metavar="PX", help="fade into the source outside the change")
    parser.add_argument(
        "--colour", type=float, default=1.0, metavar="0..1",
        help="how far a shift of all colours is taken back in the edited pixels; default: 1",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Keep what was not edited; returns the exit code.

    Raises:
        ValueError: anything that the user can put right.
    """
    needed.check("icedit keep", NEEDED, 'pip install ".[keep]"')
    from . import keeping

    return keeping.run(arguments)
