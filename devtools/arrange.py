"""Where nodes and groups stand on the canvas: columns from left to right, groups and their nodes from top to bottom.

Heights are what the front end (1.47, LiteGraph) needs at least, with room for what a run adds below the widgets, so
that nothing moves or covers a neighbour when pictures and messages appear.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .graph import ADDED_WIDGETS, WIDGET_TYPES, Column, Group, Node, Workflow, declared

LONGEST_NOTE = 540  # px
TITLE = 30  # px, above a node's own top edge
HEADER = 54  # px, of a group's title and the badge above a node
PAD, GAP = 15, 20  # px, between a group and its nodes, between groups
ROOM = 10  # px, a node is laid out taller than it needs
ROW, WIDGET, TEXT_AREA = 20, 24, 54  # px, a socket, a widget, a widget of several lines
PICTURE, MESSAGE = 224, 62  # px, that a run adds: a preview, a text
WITH_PICTURE = {
    "LoadImage", "LoadImageMask", "SaveImage", "PreviewImage", "ICEditDiptych", "ICEditRestore", "ICEditKeepUnedited"
}  # fmt: skip
SMALL_PICTURE = {"ICEditDemoScene": 150}  # px, of a panel in web/js


class Place(NamedTuple):
    """A rectangle on the canvas, px; of a node without its title bar."""

    x: int
    y: int
    width: int
    height: int


def arrange(workflow: Workflow, info: Mapping[str, Any]) -> tuple[dict[str, Place], list[tuple[Group, Place]]]:
    """Place every node, and the groups around them.

    Args:
        info: the host's `/object_info`.
    Raises:
        ValueError: a node that stands in no group, or in two.
    """
    _check(workflow)
    places: dict[str, Place] = {}
    groups: list[tuple[Group, Place]] = []
    left = 0
    bottom = max(_column_height(column, workflow, info) for column in workflow.columns)
    for column in workflow.columns:
        top = 0
        free = bottom - _column_height(column, workflow, info)  # for the note, else for the last group
        for group in column.groups:
            y = top + HEADER
            for name in group.nodes:
                node = workflow.nodes[name]
                height = least_height(node, info)
                if node.text:
                    grown = max(height, min(height + free, LONGEST_NOTE))
                    height, free = grown, free - grown + height
                places[name] = Place(left + PAD, y + TITLE, column.width, height)
                y += TITLE + height + PAD
            y += free if group is column.groups[-1] else 0  # all columns end on one line
            groups.append((group, Place(left, top, column.width + 2 * PAD, y - top)))
            top = y + GAP
        left += column.width + 2 * PAD + GAP
    return places, groups


def least_height(node: Node, info: Mapping[str, Any]) -> int:
    """Px that a node takes up below its title bar, also after a run."""
    if node.type not in info:
        return node.height
    description = info[node.type]
    rows = max(sum(kind not in WIDGET_TYPES for _, kind, _ in declared(description)), len(description["output"]))
    widgets = sum(_widget_height(kind, options) for _, kind, options in declared(description))
    height = ROW * rows + widgets + (8 if widgets else 0) + 6
    if node.type in WITH_PICTURE:
        height += PICTURE
    height += SMALL_PICTURE.get(node.type, 0)
    if "unique_id" in (description["input"].get("hidden") or {}):  # it is there to be told how a run went
        height += MESSAGE
    return max(height + ROOM, node.height)


def _widget_height(kind: str, options: Mapping[str, Any]) -> int:
    if kind not in WIDGET_TYPES:
        return 0
    extra = sum(bool(options.get(key)) for key in ADDED_WIDGETS)
    return (TEXT_AREA if options.get("multiline") else WIDGET) + extra * WIDGET


def _group_height(group: Group, workflow: Workflow, info: Mapping[str, Any]) -> int:
    heights = (TITLE + least_height(workflow.nodes[name], info) + PAD for name in group.nodes)
    return HEADER + sum(heights)


def _column_height(column: Column, workflow: Workflow, info: Mapping[str, Any]) -> int:
    return sum(_group_height(group, workflow, info) + GAP for group in column.groups) - GAP


def _check(workflow: Workflow) -> None:
    grouped = [name for column in workflow.columns for group in column.groups for name in group.nodes]
    if sorted(grouped) != sorted(workflow.nodes):
        wrong = sorted({name for name in [*grouped, *workflow.nodes] if grouped.count(name) != 1})
        raise ValueError(f"arrange: {wrong} stand in no group or two, but a node belongs to one. Mend the columns.")
