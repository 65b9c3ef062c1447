"""The archive that the registry gets, made by the registry's own tool from the working tree's tracked files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COMFY = (sys.executable, "-c", "from comfy_cli.__main__ import main; main()", "--skip-prompt")


def tracked() -> list[str]:
    """The names of the files in git that are there."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("no git checkout here, so the shipped files cannot be told from the rest")
    return [name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def copied(target: Path) -> Path:
    """A repository with the tracked files as they are now; the tool leaves its archive where it is run."""
    for name in tracked():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)
    for command in (["init", "--quiet"], ["add", "--all", "--force"]):
        subprocess.run(["git", "-c", "core.autocrlf=false", *command], cwd=target, check=True)
    return target


def comfy(folder: Path, home: Path, *arguments: str) -> str:
    """What `comfy ARGUMENTS` says in a folder, its settings kept apart from the user's."""
    settings = {name: str(home) for name in ("HOME", "USERPROFILE", "APPDATA", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    environment = {**os.environ, **settings, "DO_NOT_TRACK": "1", "COLUMNS": "200"}
    run = subprocess.run(
        [*COMFY, *arguments], cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def archive(folder: Path) -> Path:
    """`comfy node pack` of the working tree, in a new folder of yours."""
    source, home = folder / "source", folder / "home"
    home.mkdir()
    copied(source)
    comfy(source, home, "node", "pack")
    return source / "node.zip"
