"""Folders below the host's model folders."""

import os
from collections.abc import Iterator
from pathlib import Path

import folder_paths

DEEPEST = 3  # folders below a model folder that are looked into: LLM/Qwen-VL/<model>


def roots(kind: str) -> list[Path]:
    """The places of one kind of models, e.g. "LLM"."""
    known = folder_paths.folder_names_and_paths.get(kind, ([], ()))[0]
    return list(dict.fromkeys(Path(path) for path in [*known, os.path.join(folder_paths.models_dir, kind)]))


def below(root: Path, depth: int = DEEPEST) -> Iterator[Path]:
    """The folders in a folder, and theirs; none whose name begins with a dot."""
    if depth and root.is_dir():
        for entry in sorted(root.iterdir()):
            if entry.is_dir() and not entry.name.startswith("."):
                yield entry
                yield from below(entry, depth - 1)
