"""What a visitor reads first: the cards of the templates, and the templates in the page's language."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest

from .canvas import ROOT, Canvas
from .test_reading import chinese  # noqa: F401 (a fixture)

NAMES = json.loads((ROOT / "web" / "js" / "templates.json").read_text(encoding="utf-8"))
HAN = re.compile("[\u4e00-\u9fff]")
REPORTS = (  # of every kind: one sentence, parts, a list, lines, what somebody else said
    "Changed: 4.1 %, 3.0 % of the pictures.",
    "Zoom -1.6 %, shift 0.7 px, colours 3 % warmer, 2 % brighter, 4.1 % changed.",
    "Source 256x256 px -&gt; panel 96x96 px, diptych 192x96 px (&lt;&gt;).",
    "No shift, 80 % changed: the whole picture was edited (a style, a season, the light), nothing of the source "
    "is kept.",
    "Finished candidate 1 (seed 43), candidate 2 (seed 8): 32 sampler steps in all.",
    "best is candidate 1 (choice)\n1. candidate 1, score 1.00, chosen by a person\n0 questions to 5, 1.9 s of judging",
    "note: candidate 1: @ answered '' instead of two numbers from 0 to 10, twice: no 7",
    "Note: the demo model was never trained on '7', so expect a wrong result. It knows 1, 2; 3, 4; 5, 6.",
)


def cards(canvas: Canvas, language: str) -> list[list[str]]:
    """Title and description of each card, in the order of the eye."""
    canvas.blank()
    canvas.command("Comfy.BrowseTemplates")
    dialog = canvas.page.get_by_role("dialog")
    dialog.get_by_text("ICEdit", exact=True).click()
    first = NAMES["icedit_demo"][language][0]
    dialog.get_by_text(first, exact=True).wait_for()
    shown = canvas.cards(dialog, len(NAMES))
    places = [(card.bounding_box()["y"], card.bounding_box()["x"], card) for card in shown]
    found = [card for _, _, card in sorted(places, key=lambda place: place[:2])]
    texts = [[card.locator("h3").inner_text(), card.locator("p").first.inner_text()] for card in found]
    canvas.shot(f"cards_{language}")
    canvas.page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    return texts


def report(canvas: Canvas, number: int) -> str:
    """What a node says of the last run; the page may show it a moment after the run's end."""
    shown = "([id, name]) => Boolean(look.widget(id, name))"
    canvas.page.wait_for_function(shown, arg=[number, "$$node-text-preview"])
    return canvas.get(number, "$$node-text-preview")


def in_chinese(canvas: Canvas, texts: Sequence[str]) -> list[str]:
    """Reports as the page's script translates them."""
    return canvas.page.evaluate(
        """async (texts) => {
            const { translator } = await import("/extensions/ICEdit/js/chinese_reports.js");
            const table = await (await fetch("/extensions/ICEdit/js/chinese_reports.json")).json();
            return texts.map(translator(table));
        }""",
        texts,
    )


def test_each_card_says_what_it_does_and_those_that_run_at_once_come_first(canvas: Canvas):
    assert cards(canvas, "en") == [texts["en"] for texts in NAMES.values()]


def test_in_chinese_cards_titles_notes_and_choices_are_chinese(chinese: Canvas):  # noqa: F811
    assert cards(chinese, "zh") == [texts["zh"] for texts in NAMES.values()]
    chinese.template("icedit_demo")
    groups = chinese.page.evaluate("() => app.graph._groups.map((group) => group.title)")
    assert groups and all(HAN.search(title) for title in groups)
    note = chinese.get(chinese.node("MarkdownNote"), "text") if chinese.ask("ids", "MarkdownNote") else ""
    assert note.startswith("## ICEdit \u6f14\u793a") and "coloured shapes" not in note
    fit = chinese.page.evaluate(
        "(id) => { const w = look.widget(id, 'fit'); return [w.value, w.options.getOptionLabel(w.value)]; }",
        chinese.node("ICEditDiptych"),
    )
    assert fit[0] == "resize" and HAN.search(fit[1]), "shown in Chinese, queued as ever"
    chinese.new_seed()
    another = " " * (chinese.renderer == "nodes2")  # a prompt that ran before, for the other renderer, is not run again
    chinese.page.evaluate(
        "([id, more]) => { look.widget(id, 'instruction').value += more; }", [chinese.node("ICEditPrompt"), another]
    )
    chinese.finished(chinese.run())
    restore = chinese.node("ICEditRestore")
    assert HAN.search(report(chinese, restore)) and "Changed" not in report(chinese, restore)
    assert "Changed" in "".join(chinese.ask("text", restore)), "what programs read stays English"
    told = report(chinese, chinese.node("ICEditPrompt"))
    assert told.startswith("A diptych with two side-by-side images"), "the prompt is shown as it is"
    chinese.overview()
    chinese.shot("chinese_demo")
    for english, other in zip(REPORTS, in_chinese(chinese, REPORTS), strict=True):
        assert HAN.search(other) and not re.search("[A-Za-z]{3}", other), f"{english}: {other}"
        assert sorted(re.findall(r"\d+", other)) == sorted(re.findall(r"\d+", english))
    assert in_chinese(chinese, ["make the car red"]) == ["make the car red"]


def test_in_english_a_note_holds_english_alone(canvas: Canvas):
    canvas.template("icedit_demo")
    note = canvas.get(canvas.node("MarkdownNote"), "text")
    assert "coloured shapes" in note and not HAN.search(note)


def test_the_demo_scene_shows_its_picture_and_the_slider_begins_in_the_middle(canvas: Canvas):
    canvas.template("icedit_demo")
    canvas.new_seed()
    canvas.finished(canvas.run())
    canvas.approach(canvas.node("ICEditDemoScene"))
    canvas.wait("loaded", ".icedit-pictures img.picture")
    assert canvas.page.locator(".icedit-pictures img.picture").first.is_visible()
    canvas.shot("scene")
    canvas.approach(canvas.node("ICEditRestore"))
    slider = canvas.page.locator(".icedit-pictures .slider")
    stage = canvas.page.locator(".icedit-pictures .stage").filter(has=canvas.page.locator(".slider"))
    assert stage.bounding_box()["height"] >= 150
    slider.fill("5")
    canvas.new_seed()
    canvas.finished(canvas.run())
    canvas.page.wait_for_function("() => document.querySelector('.icedit-pictures .slider').value === '50'")
    canvas.shot("slider")


@pytest.mark.parametrize("name", ["icedit_around_mask_demo", "icedit_whole_picture_demo"])
def test_a_demo_runs_at_once(canvas: Canvas, name: str):
    canvas.template(name)
    canvas.new_seed()
    canvas.finished(canvas.run())
    assert canvas.picture(canvas.node("SaveImage"))["width"] == 256
    canvas.overview()
    canvas.shot(name)


def test_a_report_breaks_between_words(canvas: Canvas):
    if canvas.renderer != "litegraph":
        pytest.skip("Nodes 2.0 breaks between words by itself")
    canvas.template("icedit_demo")
    canvas.new_seed()
    canvas.finished(canvas.run())
    canvas.approach(canvas.node("ICEditPrompt"))
    broken = canvas.page.locator(".icedit-report .break-all").first
    broken.wait_for()
    assert broken.evaluate("(element) => getComputedStyle(element).wordBreak") == "normal"
