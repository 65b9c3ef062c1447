"""Fine-tune FLUX.1 Fill for editing by instruction, as docs/training.md describes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from . import needed

if TYPE_CHECKING:
    from ..training.config import Config

NEEDED = {
    name: name
    for name in (
        "accelerate", "diffusers", "einops", "matplotlib", "numpy", "peft", "prodigyopt", "pyarrow", "pydantic",
        "safetensors", "torch", "transformers",
    )
} | {"PIL": "Pillow"}  # fmt: skip
"""Module -> package that brings it; together the extra `train`."""


def add(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("config", type=Path, metavar="CONFIG.toml")
    parser.add_argument(
        "--dry-run", action="store_true", help="check config, data and memory, say what would happen, and stop"
    )
    parser.add_argument(
        "--resume",
        choices=("auto", "never"),
        default="auto",
        help="auto (default): go on from the newest checkpoint; never: set the old ones aside and start anew",
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, or say what training would do.

    Raises:
        ValueError: anything that the user can put right.
    """
    needed.check("icedit train", NEEDED, 'pip install ".[train]"')
    from ..training import config

    settings = config.load(arguments.config)
    if arguments.dry_run:
        return _dry_run(settings, arguments.resume)
    from ..training import loop

    try:
        loop.train(settings, resume=arguments.resume)
    finally:
        _leave_the_others()
    return 0


def _leave_the_others() -> None:
    """End the group of processes in good order, if there is one."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _dry_run(settings: Config, resume: str) -> int:
    from ..training import dry_run

    problems = dry_run.run(settings, resume, print)
    for problem in problems:
        print(f"PROBLEM  {problem}")
    print("nothing was started; " + ("correct the problems first" if problems else "without --dry-run it would be"))
    return 2 if problems else 0
