"""`icedit edit` with the base dependencies alone, and without them."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .comfy_stand_in import StandIn, picture

ROOT = Path(__file__).resolve().parents[2]
BASE = ("aiohttp", "Pillow")


def python(code: str, *arguments: str, path: Path | None = None, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that has the standard library, this project and what is in `path`, and nothing else."""
    start = f"import sys; sys.path[:0] = {[str(ROOT), *([str(path)] if path else [])]!r}\n"
    command = [sys.executable, "-I", "-S", "-c", start + code, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def closure(names: tuple[str, ...]) -> set[str]:
    """The distributions of these packages and of all that they require here."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = canonicalize_name(left.pop())
        if name not in found:
            found.add(name)
            for line in metadata.requires(name) or []:
                requirement = Requirement(line)
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                    left.append(requirement.name)
    return found


@pytest.fixture
def light(tmp_path) -> Path:
    """A folder with the base dependencies alone."""
    folder = tmp_path / "light"
    folder.mkdir()
    for name in closure(BASE):
        files = metadata.files(name) or []
        tops = {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            os.symlink(Path(str(metadata.distribution(name).locate_file(top))), folder / top)
    return folder


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_an_edit_needs_aiohttp_and_pillow_alone(light, tmp_path):
    (tmp_path / "in.png").write_bytes(picture())
    code = "from icedit_core.cli.main import main; sys.exit(main())"
    with StandIn().serving() as server:
        arguments = ("edit", "in.png", "words", "-o", "out.jpg", "--server", server.url)
        done = python(code, *arguments, path=light, folder=tmp_path)
        assert done.returncode == 0 and done.stdout == "out.jpg\n", done.stderr
    for module in ("torch", "numpy", "safetensors", "einops"):
        assert python(f"import {module}", path=light, folder=tmp_path).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("edit", "in.png", "words"),
            "icedit edit: aiohttp, Pillow cannot be imported, but it needs that. Run: pip install .",
        ),
        (
            ("train", "my.toml"),
            'torch, transformers, Pillow cannot be imported, but it needs that. Run: pip install ".[train]"',
        ),
    ],
)
def test_what_is_missing_is_one_sentence_that_names_it(tmp_path, arguments, words):
    module = "import runpy; sys.argv[0] = 'icedit'; runpy.run_module('icedit_core.cli', run_name='__main__')"
    done = python(module, *arguments, folder=tmp_path)
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert python(module, arguments[0], "--help", folder=tmp_path).returncode == 0
