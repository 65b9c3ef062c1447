"""The pages that `icedit eval` and `icedit compare` write, in a browser: nothing is fetched, no script runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from icedit_core.cli import main

from ..core import eval_samples as samples
from .canvas import ROOT

SHOTS = Path(os.environ.get("ICEDIT_SCREENSHOTS") or ROOT / "out" / "browser")
EVIL = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """The report of a small run with words that would like to act, and two such runs compared."""
    from PIL import Image

    root = tmp_path_factory.mktemp("reports")
    data, made = samples.scenes(root / "data", 12)
    file = data / "pairs.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    lines[3]["instruction"] = lines[3]["task"] = EVIL
    lines.append({**lines[0], "id": "gone", "source": "none.png"})
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    for name, right in (("base", 2), ("ours", 3)):
        (root / f"edits_{name}").mkdir()
        for number, scene in enumerate(made):
            pixels = scene.target if number % right else scene.source
            picture = Image.fromarray((pixels * 255).round().astype("uint8"))
            picture.save(root / f"edits_{name}" / f"{number}.png")
        edits = ["--edits", str(root / f"edits_{name}"), "-o", str(root / name)]
        assert main.main(["eval", "--protocol", "scenes", "--data", str(data), *edits]) == 1
    assert main.main(["compare", str(root / "base"), str(root / "ours"), "-o", str(root / "both")]) == 0
    return {"report": root / "ours" / "report.html", "compare": root / "both" / "compare.html"}


@pytest.mark.parametrize(("name", "words"), [("report", "Failed, broken and left out"), ("compare", "win rate")])
def test_a_page_is_whole_and_closed(browser, pages: dict[str, Path], name: str, words: str):
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    asked: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    try:
        page.goto(pages[name].as_uri())
        assert words in page.inner_text("body") and page.title() not in ("1", "2")
        assert [url for url in asked if not url.startswith(("data:", "file:"))] == [] and problems == []
        assert sum(url.startswith("file:") for url in asked) == 1
        sizes = page.eval_on_selector_all("img", "all => all.map(i => i.naturalWidth)")
        assert len(sizes) > 10 and min(sizes) > 0
        assert page.eval_on_selector("body", "b => b.scrollWidth <= window.innerWidth")
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(SHOTS / f"{name}.png"), full_page=True)
    finally:
        page.close()
