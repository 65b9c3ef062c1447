"""Checkpoints that are whole or not there: written beside, synced, renamed."""

from __future__ import annotations

import os
import pickle
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

NAME = re.compile(r"step-(\d{8,})")
STATE = "state.pt"


class Checkpoints:
    """The folder OUT/checkpoints: one folder `step-00001000` a checkpoint, of which the newest `keep` stay."""

    def __init__(self, folder: Path, keep: int):
        self.folder, self.keep = folder, keep

    def steps(self) -> list[int]:
        """The steps of the whole checkpoints, ascending."""
        if not self.folder.is_dir():
            return []
        found = (NAME.fullmatch(path.name) for path in self.folder.iterdir() if path.is_dir())
        return sorted(int(match[1]) for match in found if match)

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def save(self, step: int, state: Mapping[str, Any], write_adapter: Callable[[Path], None]) -> Path:
        """Write one checkpoint and drop the oldest; an existing one of the same step is kept as it is.

        Args:
            state: tensors, numbers, texts, lists and dicts of these.
            write_adapter: writes the adapter file to the path it is given.
        """
        final = self.path(step)
        if final.exists():
            return final
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = self.folder / f".writing-{step:08d}"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        torch.save(dict(state), beside / STATE)
        write_adapter(beside / "adapter.safetensors")
        for path in (*beside.iterdir(), beside):
            sync(path)
        beside.rename(final)
        sync(self.folder)
        self.tidy()
        return final

    def load(self, step: int) -> dict[str, Any]:
        """The state of one checkpoint, on the CPU.

        Raises:
            ValueError: the file is damaged.
        """
        path = self.path(step)
        try:
            return torch.load(path / STATE, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as problem:
            raise ValueError(
                f"icedit train: {path} cannot be read ({problem}), but a whole checkpoint is needed. "
                "Delete this folder; the one before it is used then."
            ) from problem

    def tidy(self) -> None:
        """Remove all but the newest `keep` checkpoints, and what an interrupted writing left behind."""
        for step in self.steps()[: -self.keep]:
            self.path(step).rename(self.folder / f".removing-{step:08d}")  # never half a checkpoint under its name
        for path in [*self.folder.glob(".writing-*"), *self.folder.glob(".removing-*")]:
            shutil.rmtree(path, ignore_errors=True)

    def set_aside(self) -> Path | None:
        """Rename the folder, so that a training can start anew without losing anything."""
        if not self.steps():
            return None
        number = 1
        while (aside := self.folder.with_name(f"{self.folder.name}-old-{number}")).exists():
            number += 1
        return self.folder.rename(aside)


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file beside `path`, then put it in place in one go."""
    beside = path.with_name(f".{path.name}.tmp{path.suffix}")
    write(beside)
    sync(beside)
    beside.replace(path)


def sync(path: Path) -> None:
    """Bring a file or a folder's entries to the disk."""
    if os.name == "nt":  # no handle on folders there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two identities, in words."""
    names = sorted(before.keys() | now.keys())
    return [f"{n} was {before.get(n)!r} and is {now.get(n)!r}" for n in names if before.get(n) != now.get(n)]
