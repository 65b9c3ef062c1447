"""Edit a picture by instruction on a ComfyUI server that has this pack, as docs/api.md describes."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from . import needed
from .address import SERVER

WORKFLOW = "icedit_flux_fill"
SILENCE = 600.0  # seconds without news; a large model may load for minutes
NEEDED = {"aiohttp": "aiohttp", "PIL": "Pillow"}
"""Module -> package that brings it."""


def add(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "exit codes: 0 done, 1 the server failed or refused, or a picture was not saved, 2 something given is wrong,\n"
        "130 interrupted (Ctrl-C takes the edit off the server)"
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="the picture to edit")
    parser.add_argument("instruction", metavar="INSTRUCTION", help="what to change, e.g. 'make her hair dark green'")
    parser.add_argument(
        "-o", dest="out", type=Path, metavar="OUT",
        help="a .png, .jpg or .webp file, or a folder; default: IMAGE's name with _icedit.png, in the current folder",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace the file that -o names, if it is there")
    parser.add_argument(
        "--server", default=os.environ.get("ICEDIT_SERVER") or SERVER, metavar="URL",
        help=f"default: the environment's ICEDIT_SERVER, else {SERVER}",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=float, default=SILENCE, metavar="SECONDS",
        help=f"give up after so long without news from the server; default: {SILENCE:g}",
    )  # fmt: skip
    parser.add_argument(
        "--workflow", default=WORKFLOW, metavar="NAME|FILE",
        help=f"a workflow of the pack on the server, or a file in the API format; default: {WORKFLOW}",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, metavar="N", help="of the noise, in every sampler; default: the workflow's")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="NODE.INPUT=VALUE",
        help="any other input; NODE is an id, a title or a type, e.g. KSampler.steps=20 (may be repeated)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Edit the picture; returns the exit code.

    Raises:
        ValueError: anything that the user can put right.
        KeyboardInterrupt: by Ctrl-C or SIGTERM, after the prompt was taken off the server.
    """
    needed.check("icedit edit", NEEDED, "pip install .")
    from . import editing

    return editing.run(arguments)
