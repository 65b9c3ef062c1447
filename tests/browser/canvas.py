"""ComfyUI's page as a person uses it: open, click, type, run, look."""

from __future__ import annotations

import itertools
import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from devtools.server import Host

ROOT = Path(__file__).resolve().parents[2]
SIZE = {"width": 1600, "height": 1000}
SEEDS = itertools.count(1)
playwright = pytest.importorskip("playwright.sync_api")
LIMIT = 120_000  # milliseconds at most for the page, a run or a click; each takes seconds on a quiet machine

# What the host's page complains about on every machine: files that nobody has written yet, the sizes of models, which
# it looks up elsewhere and may not, and a getter of its own.
USUAL = ("ComfyApp graph accessed before initialization", "Content Security Policy")
MAY_BE_ABSENT = ("/userdata", "/user.css", "/en.md")


def post(server: Host, path: str, value: Any) -> None:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/{path}", json.dumps(value).encode(), headers, method="POST")
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60).close()


class Canvas:
    """A page.

    Attributes:
        page: Playwright's.
        renderer: its name.
        complaints: what its console said that no user should have to read.
    """

    def __init__(self, page: Any, server: Host, renderer: str, shots: Path) -> None:
        self.page, self.server, self.renderer, self.shots = page, server, renderer, shots
        self.complaints: list[str] = []
        page.set_default_timeout(LIMIT)
        page.add_init_script(path=Path(__file__).with_name("page.js"))
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error.stack or error}"))

    def visit(self) -> None:
        """Load the page, or load it again, until it can be used."""
        self.page.goto(self.server.url)
        self.wait("ready")
        self.page.get_by_test_id("queue-button").wait_for()
        self.page.evaluate("() => look.listen()")

    def ask(self, name: str, *arguments: Any) -> Any:
        """What a function of page.js gives."""
        return self.page.evaluate("([name, args]) => look[name](...args)", [name, arguments])

    def wait(self, name: str, *arguments: Any) -> Any:
        """What a function of page.js gives, once it gives something."""
        deadline = time.monotonic() + LIMIT / 1000
        while not (found := self.ask(name, *arguments)):
            assert time.monotonic() < deadline, f"{name}{arguments} gave nothing within {LIMIT / 1000:g} s"
            self.page.wait_for_timeout(50)
        return found

    def load(self, workflow: dict[str, Any], name: str) -> None:
        """Open a workflow as the page opens a file."""
        self.page.evaluate("([workflow, name]) => app.loadGraphData(workflow, true, true, name)", [workflow, name])
        self.wait("drawn")

    def template(self, name: str) -> None:
        self.load(json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8")), name)

    def blank(self) -> None:
        """A new workflow without nodes. The page may find the draft of an earlier one of that name: then one more."""
        for _ in range(5):
            self.command("Comfy.NewBlankWorkflow")
            try:
                self.page.wait_for_function("() => app.graph._nodes.length === 0", timeout=LIMIT / 5)
            except playwright.TimeoutError:
                continue
            return
        raise AssertionError("five new workflows in a row had nodes")

    def command(self, name: str) -> None:
        self.page.evaluate("(name) => app.extensionManager.command.execute(name)", name)

    def store(self, name: str, value: Any) -> None:
        """Write a setting for the next visit."""
        post(self.server, f"settings/{name}", value)

    def setting(self, name: str, value: Any) -> None:
        self.page.evaluate("([name, value]) => app.extensionManager.setting.set(name, value)", [name, value])

    def cards(self, dialog: Any, count: int) -> list[Any]:
        """The cards in the template browser, which shows more of them when its end comes into view."""
        for _ in range(40):
            found = [card for card in dialog.locator("[data-testid^=template-workflow-]").all() if card.is_visible()]
            if len(found) >= count:
                break
            found[-1].hover()
            self.page.mouse.wheel(0, 3000)
            self.page.wait_for_timeout(250)
        return found

    def overlaps(self) -> list[str]:
        """Pairs of nodes of which one lies over the other."""
        pairs = itertools.combinations(self.ask("boxes"), 2)
        return [f"{a['title']} / {b['title']}" for a, b in pairs if _over(a, b)]

    def outside(self) -> list[str]:
        """Nodes that reach out of every group."""
        groups = self.ask("groups")
        return [box["title"] for box in self.ask("boxes") if not any(_inside(box, group) for group in groups)]

    def node(self, kind: str) -> int:
        """The id of the one node of that type."""
        (found,) = self.ask("ids", kind)
        return found

    def approach(self, number: int, scale: float = 1.0) -> None:
        """Bring a node to the middle of the screen."""
        self.ask("approach", number, scale)
        self.wait("drawn")

    def overview(self) -> None:
        """Have the whole graph on the screen and nothing selected."""
        self.page.evaluate("() => app.canvas.deselectAll()")
        self.command("Comfy.Canvas.FitView")
        self.wait("drawn")

    def click_title(self, number: int) -> None:
        self.approach(number)
        self.page.mouse.click(*self.ask("title", number))

    def get(self, number: int, name: str) -> Any:
        return self.page.evaluate("([id, name]) => look.widget(id, name).value", [number, name])

    def set(self, number: int, name: str, value: Any) -> None:
        """Set a widget without typing."""
        self.page.evaluate("([id, name, value]) => look.widget(id, name).value = value", [number, name, value])

    def type_over(self, number: int, name: str, text: str) -> None:
        """Click into a text of a node, select all of it, and type."""
        self.approach(number)
        before = self.get(number, name)
        areas = [area for area in self.page.locator("textarea").all() if area.input_value() == before]
        (area,) = [area for area in areas if area.is_visible()]
        area.click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.type(text)
        self.page.wait_for_function("([i, n, text]) => look.widget(i, n).value === text", arg=[number, name, text])

    def new_seed(self) -> None:
        """Have the sampler do what no run before did, so that its result is not remembered."""
        self.set(self.node("KSampler"), "seed", next(SEEDS))

    def run(self) -> str:
        """Press Run; returns the prompt's id once it has started."""
        since = self.page.evaluate("() => (look.titles.length = 0, look.heard.length)")
        self.page.get_by_test_id("queue-button").click()
        return self.wait("start", since)

    def finished(self, prompt: str, outcome: str = "execution_success") -> None:
        """Wait for a run's end; any other end than this fails at once."""
        assert self.wait("end", prompt) == outcome, self.server.log()[-2000:]

    def picture(self, number: int, other_than: str | None = None) -> dict[str, Any]:
        """Width, height and digest of what a node shows, once it is loaded and another than that."""
        self.overview()  # what is off the screen is not loaded
        return self.wait("picture", number, other_than)

    def opened(self, path: str) -> None:
        """Wait until that file is the open workflow, unchanged."""
        self.page.wait_for_function(
            "(path) => look.open().path === path && !look.open().modified", arg=f"workflows/{path}.json"
        )
        self.wait("drawn")

    def shot(self, name: str) -> None:
        """Keep what is on the screen, without a tooltip under the mouse."""
        self.page.mouse.move(SIZE["width"] / 2, SIZE["height"] - 5)
        self.page.screenshot(path=self.shots / f"{self.renderer}_{name}.png")

    def _hear(self, message: Any) -> None:
        url = message.location.get("url", "")
        absent = "404" in message.text and any(part in url for part in MAY_BE_ABSENT)
        ours_to_read = message.type == "error" and url.startswith(self.server.url)
        if ours_to_read and not absent and not any(usual in message.text for usual in USUAL):
            self.complaints.append(f"{message.text} ({url})")


def _over(a: dict[str, float], b: dict[str, float]) -> bool:
    """Whether two boxes share more than a rounding's worth."""
    wide = min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"])
    high = min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"])
    return wide > 2 and high > 2


def _inside(box: dict[str, float], group: dict[str, float]) -> bool:
    within = group["x"] <= box["x"] and box["x"] + box["width"] <= group["x"] + group["width"]
    return within and group["y"] <= box["y"] and box["y"] + box["height"] <= group["y"] + group["height"] + 2
