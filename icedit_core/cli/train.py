"""Fine-tune FLUX.1 Fill for editing by instruction, as docs/training.md describes."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..training.config import Config

NEEDED = (
    "accelerate",
    "diffusers",
    "matplotlib",
    "peft",
    "prodigyopt",
    "pyarrow",
    "safetensors",
    "torch",
    "transformers",
)


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
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"icedit train: {', '.join(missing)} cannot be imported, but the trainer needs it. "
            "Run: pip install '.[train]' in the folder of this pack."
        )
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
