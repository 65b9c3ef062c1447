"""Fixtures of the browser ring: the real ComfyUI with its real front end in the system's Chromium.

One host and one browser serve all tests; each renderer of the front end has a page of its own. Screenshots stay in
`out/browser`, or where ICEDIT_SCREENSHOTS says.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # no ComfyUI is imported here, so nothing can be hidden

from devtools import chromium  # noqa: E402
from devtools.server import MEMORY_LIMIT, Host, running_host  # noqa: E402
from devtools.workflows.x2edit import ADAPTER  # noqa: E402

from .canvas import SIZE, Canvas, post  # noqa: E402

RENDERERS = {"litegraph": False, "nodes2": True}  # the canvas, and nodes as page elements
SETTINGS = {
    "Comfy.Locale": "en",
    "Comfy.TutorialCompleted": True,  # else the first page opens with a dialog
    "Comfy.Minimap.Visible": False,  # it lies over the nodes
    "LiteGraph.Canvas.MinFontSizeForLOD": 0,  # text at every zoom, for the screenshots
}
SMALL_MODEL = ROOT / "demo" / "weights" / "icedit_demo_vae.safetensors"


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """The system's Chromium, headless."""
    executable = chromium.find()
    if executable is None:
        pytest.skip(chromium.MISSING)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # In a container there is no room for its sandbox nor for much shared memory; only our own server is visited.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        opened = playwright.chromium.launch(executable_path=executable, headless=True, args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def server(browser: object) -> Iterator[Host]:
    """A real ComfyUI with the pack, and a file under every name that a template wants."""
    comfyui = os.environ.get("COMFYUI_PATH")
    if not comfyui:
        pytest.fail("the browser ring needs a ComfyUI: run 'python dev.py test browser', or set COMFYUI_PATH", False)
    with running_host(Path(comfyui), ROOT, cpu=True, memory_limit=MEMORY_LIMIT) as host:
        for name in sorted(wanted_models()):
            host.place_model(name, SMALL_MODEL)
        (host.base / "input" / "example.png").write_bytes((ROOT / "demo" / "example.png").read_bytes())
        yield host


def wanted_models() -> set[str]:
    """`<folder>/<file name>` of every model that a template or a blueprint names, and of the one that users convert."""
    found = {f"loras/{ADAPTER}"}

    def look(thing: dict[str, Any]) -> dict[str, Any]:
        if {"name", "url", "directory"} <= thing.keys():
            found.add(f"{thing['directory']}/{thing['name']}")
        return thing

    for file in (*(ROOT / "workflows").glob("*.json"), *(ROOT / "subgraphs").glob("*.json")):
        json.loads(file.read_text(encoding="utf-8"), object_hook=look)
    return found


@pytest.fixture(scope="session", params=RENDERERS)
def opened(request: pytest.FixtureRequest, browser, server: Host) -> Iterator[Canvas]:
    """ComfyUI's page in one of its renderers."""
    for name, value in (SETTINGS | {"Comfy.VueNodes.Enabled": RENDERERS[request.param]}).items():
        post(server, f"settings/{name}", value)
    shots = Path(os.environ.get("ICEDIT_SCREENSHOTS") or ROOT / "out" / "browser")
    shots.mkdir(parents=True, exist_ok=True)
    for old in shots.glob(f"{request.param}_*.png"):
        old.unlink()
    context = browser.new_context(viewport=SIZE, locale="en-US")
    canvas = Canvas(context.new_page(), server, request.param, shots)
    canvas.visit()
    yield canvas
    context.close()


@pytest.fixture
def canvas(opened: Canvas, server: Host, request: pytest.FixtureRequest) -> Iterator[Canvas]:
    """The page; the test fails when a script of ours failed or anything else than the usual was complained about."""
    opened.complaints.clear()
    yield opened
    if request.node.stash.get(FAILED, False):
        opened.shot(f"failed_{request.node.name}")
        for path in ("queue", "interrupt"):  # what it left running is not the next one's
            post(server, path, {"clear": True})
        opened.visit()
    assert opened.complaints == []


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report
