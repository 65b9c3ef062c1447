"""Every template opens whole, in both renderers, and says what its API file says."""

from __future__ import annotations

import json

import pytest

from .canvas import ROOT, Canvas

NAMES = sorted(file.stem for file in (ROOT / "workflows").glob("*.json"))


def test_the_template_browser_lists_them_with_pictures_and_opens_one(canvas: Canvas):
    canvas.blank()
    canvas.command("Comfy.BrowseTemplates")
    dialog = canvas.page.get_by_role("dialog")
    dialog.get_by_text("ICEdit", exact=True).click()
    dialog.get_by_test_id("template-workflow-icedit_demo").wait_for()
    listed = [card.get_attribute("data-testid") for card in canvas.cards(dialog, len(NAMES))]
    assert sorted(listed) == [f"template-workflow-{name}" for name in NAMES]
    canvas.page.wait_for_function(
        """() => [...document.querySelectorAll('[data-testid^="template-workflow-"][data-testid*="_"] img')]
            .every((image) => image.complete && image.naturalWidth)"""
    )
    canvas.shot("template_browser")
    dialog.get_by_test_id("template-workflow-icedit_demo").click()
    canvas.page.wait_for_function("() => app.graph._nodes.some((node) => node.type === 'ICEditRestore')")
    dialog.wait_for(state="hidden")


@pytest.mark.parametrize("name", NAMES)
def test_opens_whole(canvas: Canvas, name: str):
    canvas.template(name)
    canvas.shot(f"template_{name}")
    assert canvas.ask("missing") == [] and not canvas.page.get_by_role("dialog").is_visible()
    assert not canvas.page.get_by_test_id("error-overlay").is_visible()
    shipped = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    queued = canvas.ask("contents")["output"]
    assert {number: plain(node) for number, node in queued.items()} == {n: plain(node) for n, node in shipped.items()}
    assert canvas.overlaps() == [] and canvas.outside() == [], "nodes that do not fit their places"


def test_a_model_that_is_not_there_is_offered(canvas: Canvas):
    text = (ROOT / "workflows" / "icedit_flux_fill.json").read_text(encoding="utf-8")
    canvas.load(json.loads(text.replace("flux1-fill-dev.safetensors", "not_there.safetensors")), "incomplete")
    assert canvas.ask("missing") == ["UNETLoader"], "what test_opens_whole relies on"
    overlay = canvas.page.get_by_test_id("error-overlay")
    overlay.get_by_role("button", name="View details").click()
    panel = canvas.page.get_by_test_id("properties-panel")
    panel.get_by_text("not_there.safetensors").first.wait_for()
    canvas.shot("model_offered")
    canvas.setting("Comfy.RightSidePanel.IsOpen", False)


def plain(node: dict) -> dict:
    return {"class_type": node["class_type"], "inputs": node["inputs"]}
