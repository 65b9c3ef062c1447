"""A person chooses: the candidates appear on the judge's node, a click ends the run with that one."""

from __future__ import annotations

from .canvas import Canvas


def test_a_click_on_a_candidate_is_the_choice(canvas: Canvas):
    canvas.template("icedit_early_filter_demo")
    judge, finish = canvas.node("ICEditJudgePerson"), canvas.node("ICEditFinish")
    count = canvas.get(canvas.node("ICEditCandidates"), "count")
    canvas.approach(judge, 0.9)
    prompt = canvas.run()
    buttons = canvas.page.locator(".icedit-choice .candidate")
    buttons.nth(count - 1).wait_for()
    assert buttons.count() == count > 1
    assert canvas.overlaps() == [], "the node does not grow over its neighbours"
    canvas.wait("loaded", ".icedit-choice img")
    canvas.shot("choice")
    small = buttons.first.bounding_box()["width"]
    assert small >= 200, "large enough to judge"
    canvas.page.locator(".icedit-choice input[type=range]").fill("600")
    assert buttons.first.bounding_box()["width"] > 1.5 * small, "and enlarged on demand"
    canvas.shot("choice_enlarged")
    canvas.page.locator(".icedit-choice input[type=range]").fill("260")
    canvas.page.locator(".icedit-choice .later").click()
    buttons.first.wait_for(state="detached")
    canvas.page.locator(".icedit-waits .open").first.click()
    for index in range(count):
        buttons.nth(index).click(trial=True)  # nothing lies over it
    buttons.nth(1).click()
    canvas.finished(prompt)
    buttons.first.wait_for(state="detached")
    assert canvas.overlaps() == [], "texts have room"
    heights = canvas.page.locator(".icedit-pictures .stage:has(.slider)").evaluate_all(
        "(stages) => stages.map((stage) => stage.offsetHeight)"
    )
    assert min(heights) >= 140, "a long report leaves the slider its height"
    assert "best is candidate 1 (choice)" in "\n".join(canvas.ask("text", canvas.node("ICEditRank")))
    assert canvas.ask("text", finish)
    canvas.overview()
    canvas.shot("chosen")


def test_a_page_that_is_loaded_again_shows_the_waiting_choice(canvas: Canvas):
    canvas.template("icedit_early_filter_demo")
    canvas.approach(canvas.node("ICEditJudgePerson"), 0.9)
    prompt = canvas.run()
    buttons = canvas.page.locator(".icedit-choice .candidate")
    buttons.first.wait_for()
    canvas.visit()
    buttons.first.wait_for()
    buttons.first.click()
    canvas.finished(prompt)
