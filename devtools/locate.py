"""Finds what is already there: an existing ComfyUI, and the Python that it runs in. Standard library only.

An existing ComfyUI wins over ours: the one that COMFYUI_PATH names, else the one whose `custom_nodes` holds this
pack. Its own Python is used if it can be told, that is if one of these imports what ComfyUI needs:

    COMFYUI_PYTHON, ComfyUI/venv, ComfyUI/.venv, ../python_embeded (the portable Windows build),
    ../venv, ../.venv, and the Python that runs dev.py.

Otherwise our prepared environment runs it. Nothing is ever installed into an environment that we did not make.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

HOST_MODULES = ("torch", "torchvision", "torchaudio", "aiohttp", "safetensors", "einops", "PIL")
_TOOLS = ("pytest", "pytest_asyncio", "hypothesis", "ruff", "mypy", "comfy_cli", "playwright")
_TRAINING = ("diffusers", "peft", "accelerate", "transformers", "prodigyopt", "pyarrow", "matplotlib", "torchmetrics")
TEST_MODULES = (*HOST_MODULES, *_TOOLS, *_TRAINING)


def existing_comfyui(pack: Path) -> Path | None:
    """The ComfyUI that the user already has, or None.

    Raises:
        ValueError: COMFYUI_PATH names a folder that is no ComfyUI.
    """
    named = os.environ.get("COMFYUI_PATH")
    if named:
        folder = Path(named).expanduser().absolute()
        if not _is_comfyui(folder):
            raise ValueError(
                f"COMFYUI_PATH: got {folder}, but ComfyUI's main.py and comfy/ must be in it. Correct or unset it."
            )
        return folder
    for place in (pack.absolute(), pack.resolve()):
        if place.parent.name == "custom_nodes" and _is_comfyui(place.parent.parent):
            return place.parent.parent
    return None


def python_of(comfyui: Path, modules: Iterable[str]) -> Path | None:
    """The Python that this ComfyUI runs in, if it has all the modules; else None.

    Raises:
        ValueError: COMFYUI_PYTHON names no file.
    """
    return next((python for python in _candidates(comfyui) if _has(python, modules)), None)


def python_in(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _is_comfyui(folder: Path) -> bool:
    return (folder / "main.py").is_file() and (folder / "comfy").is_dir()


def _candidates(comfyui: Path) -> Iterator[Path]:
    named = os.environ.get("COMFYUI_PYTHON")
    if named:
        python = Path(named).expanduser().absolute()
        if not python.is_file():
            raise ValueError(f"COMFYUI_PYTHON: got {python}, but there is no such file. Correct or unset it.")
        yield python
    for folder in (comfyui, comfyui.parent):
        for name in ("venv", ".venv"):
            yield python_in(folder / name)
        yield folder / "python_embeded" / "python.exe"
    yield Path(sys.executable)


def _has(python: Path, modules: Iterable[str]) -> bool:
    if not python.is_file():
        return False
    code = "import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))"
    return subprocess.run([str(python), "-c", code, *modules], check=False, capture_output=True).returncode == 0
