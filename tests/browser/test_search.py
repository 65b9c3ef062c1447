"""Nodes and blueprints come from the search, and lie where they are dropped."""

from __future__ import annotations

import pytest

from .canvas import LIMIT, ROOT, Canvas

playwright = pytest.importorskip("playwright.sync_api")

BLUEPRINTS = sorted(file.stem for file in (ROOT / "subgraphs").glob("*.json"))
PLACE = (900, 250)


def open_search(canvas: Canvas) -> None:
    """Double-click, and again where the machine was so busy that it took the clicks for two."""
    shown = canvas.page.locator("[data-testid^=search-category-]").first
    for _ in range(10):
        canvas.page.mouse.dblclick(500, 500)
        try:
            return shown.wait_for(timeout=LIMIT / 10)
        except playwright.TimeoutError:
            continue
    raise AssertionError("ten double-clicks on the empty canvas opened no search")


def dropped(canvas: Canvas, name: str, menu: str) -> int:
    """Double-click on an empty canvas, type the name, take the find of that menu to a place and drop it there."""
    canvas.blank()
    open_search(canvas)
    canvas.page.keyboard.type(name)
    found = canvas.page.get_by_test_id("result-item").filter(has_text=menu).filter(has_text=name)
    found.first.wait_for()
    canvas.shot(f"search_{name.replace(' ', '_')}")
    found.first.click()
    canvas.wait("all")  # the node hangs on the pointer from now on
    for _ in range(60):
        if canvas.ask("settled"):
            break
        canvas.page.mouse.move(600, 400)
        canvas.page.mouse.move(*PLACE, steps=5)
        canvas.page.mouse.click(*PLACE)
        canvas.page.wait_for_timeout(500)
    canvas.wait("settled")
    canvas.wait("drawn")
    (number,) = canvas.ask("all")
    return number


def test_a_node(canvas: Canvas):
    number = dropped(canvas, "ICEdit Diptych", "ICEdit / edit")
    assert canvas.node("ICEditDiptych") == number
    x, y = canvas.ask("title", number)
    assert abs(x - PLACE[0]) < 300 and abs(y - PLACE[1]) < 60
    canvas.shot("dropped")


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_a_blueprint_is_one_box_that_opens_up_into_nodes(canvas: Canvas, name: str):
    number = dropped(canvas, name, "Subgraph Blueprints / ICEdit")
    assert canvas.ask("missing") == []
    canvas.overview()
    canvas.shot(f"blueprint_{name.replace(' ', '_')}")
    canvas.ask("enter", number)
    canvas.wait("drawn")
    inside = {kind for kind, _ in canvas.ask("names")}
    assert {"ICEditDiptych", "ICEditPrompt", "InpaintModelConditioning"} <= inside
    canvas.overview()
    canvas.shot(f"inside_{name.replace(' ', '_')}")
    assert canvas.overlaps() == [], "nodes that lie over others"
