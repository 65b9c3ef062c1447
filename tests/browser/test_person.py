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
    choose(canvas, judge, 1)
    canvas.finished(prompt)
    assert "best is candidate 1 (choice)" in "\n".join(canvas.ask("text", canvas.node("ICEditRank")))
    assert canvas.ask("text", finish)
    canvas.overview()
    canvas.shot("chosen")


def choose(canvas: Canvas, judge: int, index: int) -> None:
    """Bring the judge's node to the front and click on a candidate; they go away then."""
    canvas.click_title(judge)
    buttons = canvas.page.locator(".icedit-choice button")
    buttons.nth(index).click()
    buttons.first.wait_for(state="detached")


def test_a_page_that_is_loaded_again_shows_the_waiting_choice(canvas: Canvas):
    canvas.template("icedit_early_filter_demo")
    judge = canvas.node("ICEditJudgePerson")
    canvas.approach(judge, 0.9)
    prompt = canvas.run()
    buttons = canvas.page.locator(".icedit-choice button")
    buttons.first.wait_for()
    canvas.visit()
    buttons.first.wait_for()
    choose(canvas, judge, 0)
    canvas.finished(prompt)
