"""Several edits of one picture by another editor, one after the other: each turn is a box with Keep Unedited."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Box, Column, Group, Link, Node, Workflow, port
from .edit import AMBER, BLUE, GREEN, NARROW, PURPLE, models_column, note_node
from .keep_unedited import qwen, qwen_files, qwen_model, sampled
from .multi_turn import SIDE, shown

TURNS = ("change her hair to dark green", "give her a red scarf", "give her round glasses")
SETTING = {"seed": 42, "steps": 40, "cfg": 4.0}
PORTS = ("image", "model", "clip", "vae")


def turn_box() -> Box:
    """One edit of Qwen-Image-Edit, back on the picture that came in; the editor in it can be exchanged."""
    prepare = qwen(port("image"), port("clip"), port("vae"), port("prompt"))
    sample = sampled(port("model"), vae=port("vae"), **{name: port(name) for name in SETTING})
    kept = {"source": port("image"), "edit": Link("decode"), "vae": port("vae")}
    nodes = {**prepare, **sample, "keep": Node("ICEditKeepUnedited", kept)}
    columns = (
        Column(NARROW, (Group("Prepare", AMBER, tuple(prepare)),)),
        Column(NARROW, (Group("Sample", PURPLE, tuple(sample)),)),
        Column(NARROW, (Group("Keep what was not edited", GREEN, ("keep",)),)),
    )
    return Box(
        "Keep Unedited Turn",
        Workflow(nodes, columns, first=101),
        (*PORTS, "prompt", *SETTING),
        {"image": Link("keep", 0), "change": Link("keep", 1), "report": Link("keep", 2)},
        {},
        "One edit by Qwen-Image-Edit, with models from outside, back on the picture that came in: pixels that it did "
        "not edit stay as they were, to the bit.",
        "ICEdit",
    )


def keep_turns_workflow(note: str, turns: Sequence[str] = TURNS) -> Workflow:
    """A chain of edits, each with its own words, and every picture on the way shown."""
    box, loaders, model = turn_box(), qwen_files(), qwen_model()
    nodes = {**note_node(note), **loaders, **model}
    nodes["image"] = Node("LoadImage", {"image": "example.png"}, title="Your picture")
    columns = [
        models_column(loaders),
        Column(NARROW, (Group("2 Your picture", BLUE, ("image",)), Group("Model settings", PURPLE, tuple(model)))),
    ]
    shared = SETTING | {"model": Link("norm"), "clip": Link("clip"), "vae": Link("vae")}
    before = Link("image")
    for number, words in enumerate(turns, 1):
        turn, show = f"turn{number}", f"show{number}"
        nodes[turn] = Node(box.name, {**shared, "image": before, "prompt": words}, title=f"Turn {number}", height=340)
        nodes[show] = shown(Link(turn), "ICEdit/keep_turns" if number == len(turns) else None, number)
        columns.append(Column(SIDE, (Group(f"{number + 2} Turn {number}", (AMBER, GREEN)[number % 2], (turn, show)),)))
        before = Link(turn)
    return Workflow(nodes, tuple(columns), {box.name: box})
