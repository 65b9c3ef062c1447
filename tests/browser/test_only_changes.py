"""ICEdit Only What Changes hears of the sampling that ran after it: its report and the region over the source."""

from __future__ import annotations

from .canvas import Canvas


def test_the_region_appears_after_the_sampling(canvas: Canvas):
    canvas.template("icedit_only_changes_demo")
    only = canvas.node("ICEditOnlyWhatChanges")
    canvas.new_seed()
    canvas.approach(only, 0.9)
    canvas.finished(canvas.run())
    canvas.page.get_by_test_id("icedit-region").locator("img.picture").wait_for()
    canvas.wait("loaded", ".icedit-pictures img.picture")
    canvas.shot("region")
    canvas.page.get_by_text("of the picture's tokens computed in 28 steps, 5 of them in full").first.wait_for()
