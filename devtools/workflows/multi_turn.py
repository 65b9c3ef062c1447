"""Several edits of one picture, one after the other: each turn is a box that keeps what it did not edit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..graph import Box, Column, Group, Link, Node, Workflow, port
from .edit import AMBER, BLUE, BOX_COLUMNS, GREEN, NARROW, PURPLE, boxed_nodes, models_column, note_node

SIDE = 300  # px of a column


def turn_box() -> Box:
    """One edit with the models handed in, so that every turn shares them."""
    return Box(
        "ICEdit Turn",
        Workflow(boxed_nodes(port("model"), port("clip"), port("vae")), BOX_COLUMNS, first=101),
        ("image", "model", "clip", "vae", "instruction", "seed", "steps", "width"),
        {"image": Link("restore", 0), "change": Link("restore", 1)},
        {},
        "One edit by instruction, with models from outside. Pixels that it did not edit stay as they were, to the bit.",
        "ICEdit",
    )


def multi_turn_workflow(
    loaders: dict[str, Node],
    model: Link,
    clip: Link,
    vae: Link,
    *,
    image: Node,
    turns: Sequence[str],
    width: int,
    steps: int,
    seed: int,
    note: str,
    prefix: str,
) -> Workflow:
    """A chain of edits, each with its own words, and every picture on the way shown."""
    box = turn_box()
    nodes: dict[str, Node] = {**note_node(note), **loaders, "image": image}
    columns = [
        models_column(loaders),
        Column(NARROW, (Group("2 Your picture", BLUE, ("image",)),)),
    ]
    shared: dict[str, Any] = {"model": model, "clip": clip, "vae": vae, "seed": seed, "steps": steps, "width": width}
    before = Link("image")
    for number, words in enumerate(turns, 1):
        turn, show = f"turn{number}", f"show{number}"
        title = f"Turn {number}"
        nodes[turn] = Node(box.name, {**shared, "image": before, "instruction": words}, title=title, height=340)
        last = number == len(turns)
        nodes[show] = shown(Link(turn), prefix if last else None, number)
        columns.append(
            Column(SIDE, (Group(f"{number + 2} {title}", (AMBER, PURPLE, GREEN)[number % 3], (turn, show)),))
        )
        before = Link(turn)
    return Workflow(nodes, tuple(columns), {box.name: box})


def shown(picture: Link, prefix: str | None, number: int) -> Node:
    """Show the picture after a turn, and save it if there is a prefix."""
    if prefix is None:
        return Node("PreviewImage", {"images": picture}, title=f"After turn {number}", height=330)
    return Node("SaveImage", {"images": picture, "filename_prefix": prefix}, title="After the last turn", height=330)
