"""Checkpoints that are whole or not there: written beside, synced, renamed."""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from ..foreign import line
from ..plain_files import check_archive, open_regular
from ..whole_files import sync

log = logging.getLogger(__name__)
NAME = re.compile(r"step-(\d{8,})")
STATE, HASH = "state.pt", "state.sha256"
_MOST_BYTES = 1 << 42
_MOST_PICKLE = 64 << 20  # bytes of names, numbers and shapes beside the tensors
_TOLD = 8  # differences between trainings that a sentence names
_DAMAGE = (
    ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError,
    pickle.UnpicklingError, zipfile.BadZipFile,
)  # fmt: skip


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
        Raises:
            ValueError: it cannot be written; the checkpoints of before are as they were.
        """
        final = self.path(step)
        if final.exists():
            return final
        beside = self.folder / f".writing-{step:08d}"
        shutil.rmtree(beside, ignore_errors=True)
        try:
            with writing(final):
                beside.mkdir(parents=True)
                torch.save(dict(state), beside / STATE)
                (beside / HASH).write_text(f"{_hash(beside / STATE)}  {STATE}\n", encoding="ascii")
                write_adapter(beside / "adapter.safetensors")
                for path in (*beside.iterdir(), beside):
                    sync(path)
                beside.rename(final)
                sync(self.folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        self.tidy()
        return final

    def load(self, step: int) -> dict[str, Any]:
        """The state of one checkpoint, on the CPU.

        Raises:
            ValueError: the file is damaged, or of another step than its folder.
        """
        path = self.path(step)
        try:
            _check_hash(path)
            with open_regular(path / STATE, _MOST_BYTES) as file:
                check_archive(file, os.fstat(file.fileno()).st_size, _MOST_PICKLE)
                state = torch.load(file, map_location="cpu", weights_only=True)
            if not isinstance(state, dict):
                raise ValueError("it holds no training")
            if type(found := state.get("step")) is not int or found != step:
                raise ValueError(f"it is of step {line(found)}")
        except _DAMAGE as problem:
            raise unusable(path, problem) from problem
        return state

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


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one sentence that something at or below `path` cannot be written."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as problem:
        # torch and safetensors tell of a full disk by errors of their own
        if (
            isinstance(problem, RuntimeError)
            and "inline_container" not in str(problem)
            and "iostream" not in str(problem)
        ):
            raise
        where = problem.filename if isinstance(problem, OSError) and problem.filename else path
        raise ValueError(
            f"icedit train: {line(where)} cannot be written ({line(problem)}), but room and permission are needed. "
            "Make room, or choose another output.folder; the same command goes on from the last whole checkpoint."
        ) from problem


def unusable(path: Path, problem: Exception) -> ValueError:
    """What to say of a checkpoint that cannot be gone on from."""
    return ValueError(
        f"icedit train: {path} cannot be read ({line(problem)}), but a whole checkpoint is needed. "
        "Delete this folder; the one before it is used then."
    )


def _check_hash(path: Path) -> None:
    if not (path / HASH).exists():
        log.warning("%s has no %s, as those of earlier versions: it is used without that check", path, HASH)
        return
    with open_regular(path / HASH, 1000) as file:
        written = file.read().split()
    if written[:1] != [_hash(path / STATE).encode()]:
        raise ValueError(f"{STATE} is not what was written: its SHA-256 is another than in {HASH}")


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with open_regular(path, _MOST_BYTES) as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two identities, in words: the first few, each cut to a length."""
    names = sorted((n for n in before.keys() | now.keys() if before.get(n) != now.get(n)), key=str)
    told = [f"{line(n)} was {line(repr(before.get(n)))} and is {line(repr(now.get(n)))}" for n in names[:_TOLD]]
    return told + ([f"{len(names) - _TOLD} more differ"] if names[_TOLD:] else [])
