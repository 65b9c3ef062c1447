"""The demo as a first visitor tries it: run, look, say something else, cancel, save, open again."""

from __future__ import annotations

from .canvas import Canvas

OTHER = "change the background to yellow"


def test_a_run_shows_progress_and_the_picture_and_other_words_another_picture(canvas: Canvas):
    canvas.template("icedit_demo")
    save = canvas.node("SaveImage")
    canvas.new_seed()
    canvas.finished(canvas.run())
    first = canvas.picture(save)
    assert (first["width"], first["height"]) == (256, 256)
    assert len(set(canvas.ask("percents")) - {0, 100}) >= 2, "the tab tells how far the sampler is"
    canvas.shot("ran")

    canvas.type_over(canvas.node("ICEditPrompt"), "instruction", OTHER)
    canvas.finished(canvas.run())
    second = canvas.picture(save, other_than=first["digest"])
    assert (second["width"], second["height"]) == (256, 256)
    canvas.shot("ran_other_words")


def test_a_cancelled_run_stops_and_the_next_one_is_as_if_it_had_not_been(canvas: Canvas):
    canvas.template("icedit_demo")
    save, sampler = canvas.node("SaveImage"), canvas.node("KSampler")
    canvas.new_seed()
    canvas.finished(canvas.run())
    before, steps, seed = canvas.picture(save), canvas.get(sampler, "steps"), canvas.get(sampler, "seed")
    canvas.set(sampler, "steps", 5000)
    prompt = canvas.run()
    canvas.wait("sampling")
    canvas.shot("running")
    canvas.page.get_by_role("button", name="Cancel current run").click()
    canvas.finished(prompt, "execution_interrupted")
    assert not canvas.page.get_by_test_id("error-overlay").is_visible()
    canvas.set(sampler, "steps", steps)
    canvas.new_seed()
    canvas.finished(canvas.run())
    other = canvas.picture(save, other_than=before["digest"])
    canvas.set(sampler, "seed", seed)
    canvas.finished(canvas.run())
    assert canvas.picture(save, other_than=other["digest"])["digest"] == before["digest"]


def test_a_saved_workflow_opens_as_it_was(canvas: Canvas):
    canvas.template("icedit_demo")
    canvas.type_over(canvas.node("ICEditPrompt"), "instruction", OTHER)
    saved, name = canvas.ask("contents"), f"kept_{canvas.renderer}"
    canvas.page.keyboard.press("Escape")  # out of the text
    canvas.page.keyboard.press("Control+s")
    canvas.page.get_by_role("dialog").get_by_role("textbox").fill(name)
    canvas.page.keyboard.press("Enter")
    canvas.opened(name)
    canvas.command("Workspace.CloseWorkflow")
    canvas.page.wait_for_function("(name) => !look.open().path?.includes(name)", arg=name)
    canvas.page.keyboard.press("w")
    canvas.page.get_by_test_id("workflows-sidebar").get_by_text(name, exact=True).click()
    canvas.opened(name)
    canvas.page.keyboard.press("w")
    assert canvas.ask("contents") == saved and canvas.ask("missing") == []
