"""ICEdit Keep Unedited shows source and result under its slider."""

from __future__ import annotations

from .canvas import Canvas

GRAPH = {
    "1": {"class_type": "ICEditDemoScene", "inputs": {"seed": 3, "task": "recolour", "size": 256}},
    "2": {
        "class_type": "ImageScale",
        "inputs": {"image": ["1", 0], "upscale_method": "bicubic", "width": 320, "height": 320, "crop": "disabled"},
    },
    "3": {
        "class_type": "ICEditKeepUnedited",
        "inputs": {"source": ["1", 0], "edit": ["2", 0], "threshold": 1, "grow": 0, "feather": 0, "colour": 1},
    },
    "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "kept"}},
}


def test_the_slider_moves_over_source_and_result(canvas: Canvas):
    canvas.page.evaluate("(graph) => app.loadApiJson(graph, 'keeping')", GRAPH)
    keep = canvas.node("ICEditKeepUnedited")
    canvas.approach(keep, 0.9)
    canvas.finished(canvas.run())
    panel = canvas.page.get_by_test_id("icedit-compare")
    panel.locator("img.after").wait_for()
    canvas.wait("loaded", ".icedit-pictures img.after")
    stage = panel.locator(".stage").bounding_box()
    cuts = []
    for share in (0.25, 0.75):
        canvas.page.mouse.move(stage["x"] + share * stage["width"], stage["y"] + stage["height"] / 2)
        cuts.append(panel.locator("img.before").evaluate("(image) => image.style.clipPath"))
    canvas.shot("kept")
    assert cuts[0] != cuts[1] and all("inset(" in cut for cut in cuts)
    assert "changed" in "\n".join(canvas.ask("text", keep)).lower()
