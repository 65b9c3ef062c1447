"""A person chooses: the candidates appear on the judge's node, a click ends the run with that one."""

from __future__ import annotations

from .canvas import Canvas


def test_a_click_on_a_candidate_is_the_choice(canvas: Canvas):
    canvas.template("icedit_early_filter_demo")
    judge, finish = canvas.node("ICEditJudgePerson"), canvas.node("ICEditFinish")
    count = canvas.get(canvas.node("ICEditCandidates"), "count")
    canvas.approach(judge, 0.9)
    prompt = canvas.run()
    buttons = canvas.page.locator(".icedit-choice button")
    buttons.nth(count - 1).wait_for()
    assert buttons.count() == count > 1
    canvas.wait("loaded", ".icedit-choice img")
    canvas.shot("choice")
    for index in range(count):
        buttons.nth(index).click(trial=True)  # nothing lies over it
    buttons.nth(1).click()
    canvas.finished(prompt)
    buttons.first.wait_for(state="detached")
    assert canvas.overlaps() == [], "the node is as small again as it was, and texts have room"
    assert "best is candidate 1 (choice)" in "\n".join(canvas.ask("text", canvas.node("ICEditRank")))
    assert canvas.ask("text", finish)
    canvas.overview()
    canvas.shot("chosen")


def test_a_page_that_is_loaded_again_shows_the_waiting_choice(canvas: Canvas):
    canvas.template("icedit_early_filter_demo")
    canvas.approach(canvas.node("ICEditJudgePerson"), 0.9)
    prompt = canvas.run()
    buttons = canvas.page.locator(".icedit-choice button")
    buttons.first.wait_for()
    canvas.visit()
    buttons.first.wait_for()
    buttons.first.click()
    canvas.finished(prompt)
