"""Fixtures of the host ring: the real ComfyUI as a server, a client for it, and the pack imported in this process.

The pack's root must never be on sys.path here: its `nodes` folder would hide ComfyUI's own `nodes.py`. So our
packages are imported from their files, under names that hide nothing, and a root that pytest's caller put on
sys.path (`python -m pytest` does) is taken off again. ComfyUI's root goes on the path instead, but only when a test
asks for the `pack` fixture, and its command line is set before `comfy.model_management` reads it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import pytest_asyncio

ROOT = Path(__file__).resolve().parents[2]
PACK_NAME = "icedit_pack"


def _import_from_file(name: str, folder: Path) -> ModuleType:
    """Import the package in `folder` as `name`, without its parent folder on sys.path."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
_import_from_file("icedit_core", ROOT / "icedit_core")
_import_from_file("devtools", ROOT / "devtools")
_import_from_file("workshop", ROOT / "workshop")

from devtools.server import MEMORY_LIMIT, Host, running_host  # noqa: E402
from icedit_core.client import ComfyClient  # noqa: E402


@pytest.fixture(scope="session")
def comfyui() -> Path:
    """ComfyUI's folder."""
    folder = os.environ.get("COMFYUI_PATH")
    if not folder:
        pytest.fail("the host ring needs a ComfyUI: run 'python dev.py test host', or set COMFYUI_PATH", pytrace=False)
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def server(comfyui: Path) -> Iterator[Host]:
    """A real ComfyUI with the pack; `.url`, `.base`, `.log()`, `.place_model("vae/x.safetensors", file)`."""
    with running_host(comfyui, ROOT, cpu=True, memory_limit=MEMORY_LIMIT) as host:
        yield host


@pytest_asyncio.fixture
async def client(server: Host):
    """An open ComfyClient for the server."""
    async with ComfyClient(server.url) as opened:
        yield opened


@pytest.fixture(scope="session")
def host_modules(comfyui: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ComfyUI importable in this process (`comfy`, `nodes`, `folder_paths`), on the CPU.

    Returns:
        its base folder, a temporary one; models go below its `models/`.
    """
    base = tmp_path_factory.mktemp("comfyui")
    for name in ("models", "input", "output", "temp", "user", "custom_nodes"):
        (base / name).mkdir()
    sys.path.insert(0, str(comfyui))
    import comfy.cli_args

    comfy.cli_args.args.cpu = True
    comfy.cli_args.args.base_directory = str(base)
    return base


@pytest.fixture(scope="session")
def pack(host_modules: Path) -> ModuleType:
    """This pack, imported in this process as `icedit_pack`: `import icedit_pack.nodes.lora` works from then on."""
    return _import_from_file(PACK_NAME, ROOT)
