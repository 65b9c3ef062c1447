"""Help and names, in English and Chinese, as the page shows them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from .canvas import ROOT, Canvas

PAGES = sorted(file.stem for file in (ROOT / "web" / "docs").glob("*.md"))


def names(language: str) -> dict[str, str]:
    """Node id -> the name that is shown."""
    texts = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
    return {node: text["display_name"] for node, text in texts.items()}


def help_page(page: str, language: str) -> str:
    """The Markdown of a node's help."""
    file = ROOT / "web" / "docs" / (f"{page}.md" if language == "en" else f"{page}/{language}.md")
    return file.read_text(encoding="utf-8")


@pytest.fixture
def chinese(canvas: Canvas) -> Iterator[Canvas]:
    """The page in Chinese."""
    canvas.store("Comfy.Locale", "zh")
    canvas.visit()
    yield canvas
    canvas.store("Comfy.Locale", "en")
    canvas.visit()


def shown(canvas: Canvas, page: str, language: str) -> None:
    """Wait until a help page is in the panel; then its parts and its pictures are there."""
    text = help_page(page, language)
    first, *rest = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    content = canvas.page.locator(".node-help-content")
    content.locator("h1").get_by_text(first, exact=True).wait_for()
    assert content.locator("h1, h2, h3").all_inner_texts() == [first, *rest]
    assert content.locator("img").count() == text.count("![")
    canvas.wait("loaded", ".node-help-content img")


def read(canvas: Canvas, language: str) -> None:
    """Open the help of a node by its button, follow a link in it, then look at the pages of all nodes."""
    canvas.template("icedit_demo")
    canvas.click_title(canvas.node("ICEditDiptych"))
    canvas.page.get_by_test_id("info-button").click()
    shown(canvas, "ICEditDiptych", language)
    canvas.shot(f"help_{language}")
    canvas.page.locator(".node-help-content a[href='#ICEditRestore']").first.click()
    shown(canvas, "ICEditRestore", language)
    if canvas.renderer == "litegraph":  # the panel is the same in all renderers
        for page in PAGES:
            canvas.ask("place", page)
            shown(canvas, page, language)
    canvas.setting("Comfy.RightSidePanel.IsOpen", False)


def test_help_opens_beside_the_node_and_its_links_lead_on(canvas: Canvas):
    read(canvas, "en")


def test_in_chinese_help_and_names_are_chinese(chinese: Canvas):
    read(chinese, "zh")
    chinese.template("icedit_demo")
    chinese.shot("chinese")
    shown_names, chinese_names = dict(chinese.ask("names")), names("zh")
    nodes = json.loads((ROOT / "workflows" / "icedit_demo.json").read_text(encoding="utf-8"))["nodes"]
    untitled = {node["type"] for node in nodes if "title" not in node} & chinese_names.keys()
    assert untitled and {kind: shown_names[kind] for kind in untitled} == {k: chinese_names[k] for k in untitled}
    if chinese.renderer != "litegraph":  # there they are painted
        assert chinese.page.get_by_text(chinese_names["ICEditDiptych"], exact=True).first.is_visible()
