"""Measure a workflow by a published benchmark, or by pictures of your own: edits, metrics, one report."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import batch, judge_options, needed

NEEDED = {
    "einops": "einops", "jinja2": "jinja2", "matplotlib": "matplotlib", "numpy": "numpy", "pyarrow": "pyarrow",
    "scipy": "scipy", "torch": "torch", "torchmetrics": "torchmetrics", "transformers": "transformers",
    "aiohttp": "aiohttp", "PIL": "Pillow",
}  # fmt: skip
"""Module -> package that brings it; all are in the extra `eval`."""
PROTOCOLS = ("magicbrush", "magicbrush_turns", "emu", "gedit", "imgedit", "pie", "folder", "scenes")


def add(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--protocol", choices=PROTOCOLS, required=True, help="whose layout the data has, and what is measured"
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="the data set, as published, on this machine"
    )
    parser.add_argument(
        "-o", dest="out", type=Path, metavar="OUT", required=True,
        help="a new folder, or the one of a run that was stopped",
    )  # fmt: skip
    words = "measure pictures that were made elsewhere, named after the rows, in place of editing"
    parser.add_argument("--edits", type=Path, metavar="DIR", help=words)
    batch.add_run(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="the first N rows alone")
    parser.add_argument("--language", choices=("en", "cn"), default="en", help="of the rows of gedit; default: en")
    parser.add_argument(
        "--clip", type=Path, metavar="DIR", help="a folder of transformers' CLIPModel, e.g. of ViT-B/32"
    )
    parser.add_argument("--dino", type=Path, metavar="DIR", help="a folder of transformers' ViTModel, e.g. dino-vits16")
    parser.add_argument("--lpips", type=Path, metavar="FILE", help="torchvision's weights of the backbone")
    parser.add_argument("--lpips-net", choices=("squeeze", "alex", "vgg"), default="squeeze", help="default: squeeze")
    judge_options.add(parser)


def run(arguments: argparse.Namespace) -> int:
    """Edit and measure; returns the exit code.

    Raises:
        ValueError: anything that the user can put right.
        KeyboardInterrupt: by Ctrl-C or SIGTERM.
    """
    needed.check("icedit eval", NEEDED, 'pip install ".[eval]"')
    batch.check_engine("icedit eval", arguments)
    from . import batching, evaluating

    return batching.guarded("icedit eval", evaluating.run, arguments)
