"""Dependencies go one way: nodes/x.py -> nodes/host, demo, icedit_core -> libraries. Held by reading every import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Container, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOST = {
    "alembic_db", "api_server", "app", "comfy", "comfy_api", "comfy_api_nodes", "comfy_config", "comfy_execution",
    "comfy_extras", "comfyui_version", "cuda_malloc", "execution", "folder_paths", "latent_preview", "main",
    "middleware", "node_helpers", "nodes", "protocol", "server", "utils",
}  # fmt: skip
NODE_MAY_IMPORT = {"comfy_api", "torch"} | set(sys.stdlib_module_names)
HEAVY = {"accelerate", "diffusers", "peft", "scipy", "torchmetrics", "torchvision", "transformers", "ray"}
HEAVY |= {"prodigyopt", "pyarrow", "matplotlib"}
HEAVY_PARTS = {"metrics", "training"}  # may import them, on use
SHIPPED = ("__init__.py", "icedit_core/**/*.py", "nodes/**/*.py", "demo/**/*.py")
NOT_SHIPPED = ("benchmarks", "dev", "devtools", "tests", "workshop")  # above all that is shipped
DEMO_MAY_IMPORT = {"PIL", "numpy", "scenes"} | set(sys.stdlib_module_names)  # export_pairs.py runs beside scenes/


def sources(*patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def relative(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def imports(file: Path) -> Iterator[str]:
    """What a file imports, anywhere in it, as paths from the pack's root: `.host` in nodes/x.py is `/nodes/host`.

    Names from outside the pack have no leading slash.
    """
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.replace(".", "/") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            # `from . import x` names modules; `from .x import y` names x, and y may be a module too.
            origin = origin_of(node, file)
            yield from ([origin] if node.module else [f"{origin}/{alias.name}" for alias in node.names])
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.replace(".", "/")


def origin_of(node: ast.ImportFrom, file: Path) -> str:
    """The path from the pack's root of the package or module that a relative import takes things from."""
    base = file.parents[node.level - 1].relative_to(ROOT).as_posix()
    parts = ("" if base == "." else base, (node.module or "").replace(".", "/"))
    return "/" + "/".join(part for part in parts if part)


def outside(file: Path) -> set[str]:
    return {name.split("/")[0] for name in imports(file) if not name.startswith("/")}


def inside(file: Path) -> set[str]:
    return {name for name in imports(file) if name.startswith("/")}


def within(name: str, folder: str) -> bool:
    return name == folder or name.startswith(f"{folder}/")


@pytest.mark.parametrize("file", sources("icedit_core/**/*.py"), ids=relative)
def test_core_knows_no_host(file: Path):
    assert outside(file) & HOST == set()
    assert [name for name in inside(file) if not within(name, "/icedit_core")] == []


@pytest.mark.parametrize("file", sources("icedit_core/**/*.py"), ids=relative)
def test_core_reads_no_folder_around_it(file: Path):
    """What lies in ComfyUI or beside the core in the pack is handed in."""
    text = file.read_text(encoding="utf-8")
    assert re.findall(r"COMFYUI_PATH|COMFYUI_PYTHON", text) == []
    levels = len(file.relative_to(ROOT).parts) - 1  # parents[levels] is the pack's folder
    climbed = [int(level) for level in re.findall(r"\bparents\[(\d+)\]", text)]
    assert [level for level in climbed if level >= levels] == [] and ".parent.parent" not in text


@pytest.mark.parametrize("file", sources("nodes/*.py"), ids=relative)
def test_nodes_import_the_api_our_host_layer_and_the_core(file: Path):
    assert outside(file) <= NODE_MAY_IMPORT
    assert [n for n in inside(file) if not (within(n, "/nodes/host") or within(n, "/icedit_core"))] == []


@pytest.mark.parametrize("file", sources("nodes/host/*.py"), ids=relative)
def test_host_layer_knows_no_node(file: Path):
    assert [n for n in inside(file) if within(n, "/nodes") and not within(n, "/nodes/host")] == []


@pytest.mark.parametrize("file", sources("demo/**/*.py"), ids=relative)
def test_demo_stands_alone(file: Path):
    assert outside(file) <= DEMO_MAY_IMPORT
    assert [n for n in inside(file) if not within(n, "/demo")] == []


def test_nothing_shipped_imports_what_is_not():
    files = sources(*SHIPPED)
    assert {"demo/scenes/draw.py", "nodes/host/demo.py", "__init__.py"} <= {relative(file) for file in files}
    assert [(relative(file), name) for file in files for name in imports(file) if not_shipped(name)] == []


def not_shipped(name: str) -> bool:
    return name.strip("/").split("/")[0] in NOT_SHIPPED


def test_no_module_comes_back_to_itself():
    """Also not by what is imported inside of a function."""
    files = {f"/{relative(file)}".removesuffix(".py").removesuffix("/__init__"): file for file in sources(*SHIPPED)}
    graph = {name: modules_of(file, files) for name, file in files.items()}
    assert sum(map(len, graph.values())) > 500
    TopologicalSorter(graph).prepare()  # CycleError names the circle


def modules_of(file: Path, known: Container[str]) -> set[str]:
    """The known modules that a file's relative imports name: for `from .x import y` y if that is one, else x."""
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.level]
    named = [(origin_of(node, file), alias.name) for node in froms for alias in node.names]
    found = {f"{origin}/{name}" if f"{origin}/{name}" in known else origin for origin, name in named}
    return {name for name in found if name in known}


def test_the_workshop_knows_none_of_the_tools():
    files = sources("workshop/**/*.py")
    assert len(files) > 10
    above = {"dev", "devtools", "tests"}
    assert [relative(file) for file in files if {name.strip("/").split("/")[0] for name in imports(file)} & above] == []


@pytest.mark.parametrize("file", sources(*SHIPPED, "workshop/**/*.py"), ids=relative)
def test_files_stay_short(file: Path):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 300


def test_these_rules_see_what_they_forbid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    file = tmp_path / "nodes" / "x.py"
    file.parent.mkdir()
    file.write_text(
        "from ..icedit_core import prompt\nfrom .host.text import encode\nfrom . import y\nimport comfy.sd\n"
    )
    assert outside(file) == {"comfy"}
    assert modules_of(file, {"/nodes/y", "/nodes/host/text", "/elsewhere"}) == {"/nodes/y", "/nodes/host/text"}
    assert inside(file) == {"/icedit_core", "/nodes/host/text", "/nodes/y"}
    file.write_text("from ..workshop.pool import Ring\nfrom ..demo import scenes\nimport devtools.prepare\n")
    assert {name for name in imports(file) if not_shipped(name)} == {"/workshop/pool", "devtools/prepare"}


def loaded_after(code: str) -> set[str]:
    """The top-level modules in a fresh interpreter after `code`."""
    report = "import sys; print(' '.join({name.split('.')[0] for name in sys.modules}))"
    run = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_importing_the_core_pulls_no_heavy_library():
    light = [p for p in sources("icedit_core/**/*.py") if p.relative_to(ROOT).parts[1] not in HEAVY_PARTS]
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for p in light]
    assert "icedit_core.client.api" in names
    assert loaded_after("\n".join(f"import {name}" for name in names)) & HEAVY == set()


def test_importing_the_pack_does_no_work():
    code = (
        "import importlib.util, sys; before = set(sys.modules)\n"
        f"spec = importlib.util.spec_from_file_location('pack', {str(ROOT / '__init__.py')!r})\n"
        "spec.loader.exec_module(importlib.util.module_from_spec(spec)); assert set(sys.modules) == before"
    )
    loaded_after(code)
