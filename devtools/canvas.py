"""Write a graph as a canvas workflow, as the front end saves it, with the host's own node descriptions."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from .arrange import Place, arrange
from .graph import NOTE, PORT, WIDGET_TYPES, Box, Link, Node, Workflow, declared, default, described, ids

INPUTS, OUTPUTS = -10, -20  # ids of what stands for a box's ports inside it
LINK_KEYS = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
PORT_WIDTH, PORT_ROW, PORT_GAP = 140, 20, 60  # px


class Wire(NamedTuple):
    """A link in the front end's numbers."""

    id: int
    source: int
    source_slot: int
    target: int
    target_slot: int
    kind: str


def canvas_json(workflow: Workflow, info: Mapping[str, Any]) -> str:
    """The canvas form (format 0.4).

    Args:
        info: the host's `/object_info`.
    """
    nodes, groups, wires = _drawn(workflow, described(workflow, info))
    definitions = [_definition(box, info) for box in workflow.boxes.values()]
    return _text(
        {
            "last_node_id": len(nodes),
            "last_link_id": len(wires),
            "nodes": nodes,
            "links": [list(wire) for wire in wires],
            "groups": groups,
            **({"definitions": {"subgraphs": definitions}} if definitions else {}),
            "config": {},
            "extra": {},
            "version": 0.4,
        }
    )


def blueprint_json(box: Box, info: Mapping[str, Any]) -> str:
    """One box, for the node search."""
    node = Node(box.name)
    workflow = Workflow({"box": node}, (), {box.name: box})
    known = described(workflow, info)
    drawn = _canvas_node(node, Place(0, 0, 340, 400), 1, [], workflow, known) | {"title": box.name}
    definitions = {"subgraphs": [_definition(box, info)]}
    return _text(
        {
            "revision": 0,
            "last_node_id": 1,
            "last_link_id": 0,
            "nodes": [drawn],
            "links": [],
            "version": 0.4,
            "definitions": definitions,
            "extra": {"BlueprintDescription": box.description},
        }
    )


def _drawn(workflow: Workflow, info: Mapping[str, Any], box: Box | None = None) -> tuple[list, list, list[Wire]]:
    """Nodes, groups and links of one level: of the canvas, or of the inside of a box."""
    numbers, wires = ids(workflow), _wires(workflow, info, box)
    places, frames = arrange(workflow, info)
    nodes = [
        _canvas_node(node, places[name], numbers[name], wires, workflow, info, box)
        for name, node in workflow.nodes.items()
    ]
    groups = [
        {"id": number, "title": group.title, "bounding": list(frame), "color": group.color, "font_size": 24}
        for number, (group, frame) in enumerate(frames, 1)
    ]
    return nodes, groups, wires


def _wires(workflow: Workflow, info: Mapping[str, Any], box: Box | None) -> list[Wire]:
    """All links, target slots counted as the front end shows them."""
    numbers, wires = ids(workflow), []
    for name, node in workflow.nodes.items():
        for slot, (key, kind) in enumerate(_sockets(node, info)):
            value = node.inputs.get(key)
            if not isinstance(value, Link):
                continue
            if box and value.node.startswith(PORT):
                source = (INPUTS, box.inputs.index(value.node.removeprefix(PORT)))
            else:
                source = (numbers[value.node], value.slot)
                kind = info[workflow.nodes[value.node].type]["output"][value.slot]
            wires.append(Wire(len(wires) + 1, *source, numbers[name], slot, kind))
    for slot, link in enumerate(box.outputs.values() if box else ()):
        kind = info[workflow.nodes[link.node].type]["output"][link.slot]
        wires.append(Wire(len(wires) + 1, numbers[link.node], link.slot, OUTPUTS, slot, kind))
    return wires


def _sockets(node: Node, info: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Inputs in the order of the front end's slots: the real ones, then those of the widgets."""
    if node.type == NOTE:
        return []
    known = [(key, kind.rstrip("*"), kind in WIDGET_TYPES) for key, kind, _ in declared(info[node.type])]
    return [(key, kind) for key, kind, _ in sorted(known, key=lambda socket: socket[2])]


def _canvas_node(
    node: Node,
    place: Place,
    number: int,
    wires: list[Wire],
    workflow: Workflow,
    info: Mapping[str, Any],
    within: Box | None = None,
) -> dict[str, Any]:
    box = workflow.boxes.get(node.type)
    canvas: dict[str, Any] = {
        "id": number,
        "type": box_id(box) if box else node.type,
        "pos": [place.x, place.y],
        "size": [place.width, place.height],
        "flags": {},
        "order": number - 1,
        "mode": 0,
        "inputs": _inputs(node, number, wires, info),
        "outputs": _outputs(node, number, wires, info),
        "properties": {} if node.type == NOTE or box else {"Node name for S&R": node.type},
        "widgets_values": _widget_values(node, info, within.values if within else {}),
    }
    if box:  # how front ends before 1.46 are told which widgets to show on the box
        widgets = [key for key, kind, _ in declared(info[node.type]) if kind in WIDGET_TYPES]
        canvas["properties"]["proxyWidgets"] = [["-1", key] for key in widgets]
    if node.models:
        canvas["properties"]["models"] = [dict(model) for model in node.models]
    if node.title or box:
        canvas["title"] = node.title or node.type
    return canvas


def _inputs(node: Node, number: int, wires: list[Wire], info: Mapping[str, Any]) -> list[dict[str, Any]]:
    inputs = []
    widgets = {key for key, kind, _ in declared(info[node.type]) if kind in WIDGET_TYPES} if node.type != NOTE else ()
    for slot, (key, kind) in enumerate(_sockets(node, info)):
        link = next((wire.id for wire in wires if (wire.target, wire.target_slot) == (number, slot)), None)
        widget = {"widget": {"name": key}} if key in widgets else {}
        inputs.append({"name": key, "type": kind, "link": link} | widget)
    return inputs


def _outputs(node: Node, number: int, wires: list[Wire], info: Mapping[str, Any]) -> list[dict[str, Any]]:
    if node.type == NOTE:
        return []
    description = info[node.type]
    return [
        {"name": label, "type": kind, "links": [w.id for w in wires if (w.source, w.source_slot) == (number, slot)]}
        for slot, (label, kind) in enumerate(zip(description["output_name"], description["output"], strict=True))
    ]


def _widget_values(node: Node, info: Mapping[str, Any], ports: Mapping[str, Any]) -> list[Any]:
    """Values in the front end's widget order, with the widgets that it adds itself; a port's are the box's own."""
    if node.type == NOTE:
        return [node.text]
    values = []
    for key, kind, options in declared(info[node.type]):
        if kind not in WIDGET_TYPES:
            continue
        value = node.inputs.get(key)
        if isinstance(value, Link):
            value = ports.get(value.node.removeprefix(PORT)) if value.node.startswith(PORT) else None
        values.append(default(kind, options) if value is None else value)
        if options.get("control_after_generate"):
            values.append("fixed")
        if options.get("image_upload"):
            values.append("image")
    return values


def box_id(box: Box) -> str:
    """What the front end takes for the type of a box; the same name is the same box."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"icedit/{box.name}"))


def _definition(box: Box, info: Mapping[str, Any]) -> dict[str, Any]:
    """The inside of a box."""
    nodes, groups, wires = _drawn(box.inside, info, box)
    outside = described(Workflow({}, (), {box.name: box}), info)[box.name]
    inputs = [(name, kind) for name, kind, _ in declared(outside)]
    outputs = list(zip(box.outputs, outside["output"], strict=True))
    right = max(x + width for x, _, width, _ in (group["bounding"] for group in groups))
    return {
        "id": box_id(box),
        "version": 1,
        "state": {
            "lastGroupId": len(groups),
            "lastNodeId": max(node["id"] for node in nodes),
            "lastLinkId": len(wires),
            "lastRerouteId": 0,
        },
        "revision": 0,
        "config": {},
        "name": box.name,
        "inputNode": _port_node(INPUTS, -PORT_GAP - PORT_WIDTH, len(inputs)),
        "outputNode": _port_node(OUTPUTS, right + PORT_GAP, len(outputs)),
        "inputs": [
            _port(box, *named, [wire.id for wire in wires if wire[1:3] == (INPUTS, slot)])
            for slot, named in enumerate(inputs)
        ],
        "outputs": [
            _port(box, *named, [wire.id for wire in wires if wire[3:5] == (OUTPUTS, slot)])
            for slot, named in enumerate(outputs)
        ],
        "widgets": [],
        "nodes": nodes,
        "groups": groups,
        "links": [dict(zip(LINK_KEYS, wire, strict=True)) for wire in wires],
        "extra": {},
        "category": box.category,
        "description": box.description,
    }


def _port_node(number: int, x: int, count: int) -> dict[str, Any]:
    return {"id": number, "bounding": [x, 0, PORT_WIDTH, PORT_ROW * (count + 2)]}


def _port(box: Box, name: str, kind: str, links: list[int]) -> dict[str, Any]:
    number = uuid.uuid5(uuid.UUID(box_id(box)), f"{name} {kind}")
    return {"id": str(number), "name": name, "type": kind, "linkIds": links}


def _text(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
