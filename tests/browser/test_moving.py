"""A workflow of the official pack's shape, opened and replaced as a person does it."""

from __future__ import annotations

import json

import pytest

from .canvas import ROOT, Canvas

SHAPE = ROOT / "tests" / "fixtures" / "official_shape.json"
WORDS = "make her hair dark green"


def as_shipped(linked: bool) -> dict:
    """The official pack's own files carry the picture on the diptych; some users' link a Load Image."""
    graph = json.loads(SHAPE.read_text(encoding="utf-8"))
    if not linked:
        (diptych,) = [node for node in graph["nodes"] if node["type"] == "DiptychCreate"]
        diptych["inputs"][0]["link"], diptych["widgets_values"] = None, ["example.png", "image"]
        graph["nodes"] = [node for node in graph["nodes"] if node["type"] != "LoadImage"]
        graph["links"] = [link for link in graph["links"] if link[1] != 1]
    return graph


@pytest.mark.parametrize("linked", [True, False])
def test_replace_all_brings_words_and_picture_and_says_what_is_left(canvas: Canvas, linked: bool):
    canvas.load(as_shipped(linked), f"official_{linked}")
    canvas.page.get_by_test_id("error-overlay").get_by_role("button", name="View details").click()
    panel = canvas.page.get_by_test_id("properties-panel")
    panel.get_by_role("button", name="Replace All").first.click()
    canvas.wait("ids", "ICEditDiptych")
    canvas.setting("Comfy.RightSidePanel.IsOpen", False)
    prompt, diptych = canvas.node("ICEditPrompt"), canvas.node("ICEditDiptych")
    canvas.wait("linked", diptych, "image")
    source = canvas.ask("linked", diptych, "image")
    assert source["type"] == "LoadImage" and source["widgets"][0] == "example.png"
    canvas.approach(prompt)
    area = next(area for area in canvas.page.locator("textarea").all() if area.input_value() == WORDS)
    assert area.is_visible() and area.bounding_box()["height"] > 30, "without changing the tab"
    canvas.shot(f"moved_prompt_{linked}")
    assert linked or not [pair for pair in canvas.overlaps() if "LoadImage" in pair or "Load Image" in pair]
    canvas.approach(diptych)
    canvas.page.locator(".icedit-pictures").get_by_text("put ICEdit Restore in the place of the crop").first.wait_for()
    canvas.shot(f"moved_diptych_{linked}")
