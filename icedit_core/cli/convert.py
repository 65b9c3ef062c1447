"""Join X2Edit's three published files to the one that ICEdit X2 Adapter and ICEdit X2 Prompt read."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import needed

NEEDED = {name: name for name in ("safetensors", "torch")}
"""Module -> package that brings it; both are in the extra `torch`."""


def add(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    words = "with lora.safetensors, task_embeddings.bin and diffusion_pytorch_model.bin as published"
    parser.add_argument("folder", type=Path, metavar="FOLDER", help=words)
    parser.add_argument("target", type=Path, metavar="NEW.safetensors", help="in ComfyUI's models/loras")


def run(arguments: argparse.Namespace) -> int:
    """Convert.

    Raises:
        ValueError: anything that the user can put right.
    """
    needed.check("icedit convert", NEEDED, 'pip install ".[torch]"')
    from ..x2edit import convert

    print(convert.convert(arguments.folder, arguments.target))
    return 0
