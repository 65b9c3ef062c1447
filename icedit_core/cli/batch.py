"""Edit many pictures, on one or several ComfyUI servers; a stopped run goes on with the same command."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import needed
from .edit import NEEDED, SILENCE, WORKFLOW

PATIENCE = 120.0  # seconds; a ComfyUI that is started again is back by then


def add(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "exit codes: 0 done, 1 some rows failed or the servers are gone, 2 something given is wrong, 130 interrupted\n"
        "(Ctrl-C takes the edits off the servers; the same command goes on)"
    )
    words = (
        "a folder of pictures (words in NAME.txt beside each, or --instruction), or a JSONL of image and instruction"
    )
    parser.add_argument("rows", type=Path, metavar="FOLDER|JSONL", help=words)
    parser.add_argument(
        "-o", dest="out", type=Path, metavar="OUT", required=True,
        help="a new folder, or the one of a run that was stopped",
    )  # fmt: skip
    add_run(parser)
    parser.add_argument("--instruction", metavar="WORDS", help="what to change, in rows without words of their own")


def add_run(parser: argparse.ArgumentParser) -> None:
    """What every command has that edits many rows."""
    parser.add_argument(
        "--server", dest="servers", action="append", metavar="URL",
        help="may be repeated: rows are spread over all; default: as for icedit edit",
    )  # fmt: skip
    parser.add_argument(
        "--engine", choices=("servers", "ray"), default="servers",
        help="ray: over a Ray cluster, one ComfyUI a worker (pip install \".[ray]\" on every machine)",
    )  # fmt: skip
    parser.add_argument(
        "--ray-address", metavar="ADDRESS",
        help="of the cluster's head; default: RAY_ADDRESS, else this machine alone for the time of the run",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, metavar="N", help="of --engine ray with --comfyui; default: one for each GPU"
    )
    parser.add_argument(
        "--comfyui", type=Path, metavar="DIR",
        help="of --engine ray: each worker starts the ComfyUI in this folder of its machine, in place of --server",
    )  # fmt: skip
    parser.add_argument("--comfyui-python", default="", metavar="FILE", help="the Python of that ComfyUI")
    parser.add_argument(
        "--comfyui-arg", dest="comfyui_args", action="append", default=[], metavar="ARGUMENT",
        help="of that ComfyUI, e.g. --comfyui-arg=--lowvram (may be repeated)",
    )  # fmt: skip
    parser.add_argument(
        "--workflow", default=WORKFLOW, metavar="NAME|FILE",
        help=f"a workflow of the pack on the server, or a file in the API format; default: {WORKFLOW}",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, metavar="N", help="of rows without one of their own; default: the workflow's"
    )
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="NODE.INPUT=VALUE",
        help="any other input, in all rows, e.g. KSampler.steps=20 (may be repeated)",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=float, default=SILENCE, metavar="SECONDS",
        help=f"give an edit up after so long without news from its server; default: {SILENCE:g}",
    )  # fmt: skip
    parser.add_argument(
        "--patience", type=float, default=PATIENCE, metavar="SECONDS",
        help=f"stop when no server has answered for so long; default: {PATIENCE:g}",
    )  # fmt: skip
    parser.add_argument("--redo-errors", action="store_true", help="edit the rows again that failed before")
    parser.add_argument(
        "--models", type=Path, metavar="DIR",
        help="a ComfyUI/models folder of this machine, or of a worker's: the hashes of its files go into the records",
    )  # fmt: skip


def check_engine(who: str, arguments: argparse.Namespace) -> None:
    """Raise ValueError if the engine's package is not there."""
    if arguments.engine == "ray":
        needed.check(f"{who} --engine ray", {"ray": "ray"}, 'pip install ".[ray]"')


def run(arguments: argparse.Namespace) -> int:
    """Edit all rows; returns the exit code.

    Raises:
        ValueError: anything that the user can put right.
        KeyboardInterrupt: by Ctrl-C or SIGTERM, after the prompts were taken off the servers.
    """
    needed.check("icedit batch", NEEDED, "pip install .")
    check_engine("icedit batch", arguments)
    from . import batching

    return batching.run_guarded(arguments)
