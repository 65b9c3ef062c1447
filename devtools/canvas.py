"""Write one graph definition as API JSON and as a canvas workflow, with the host's own node descriptions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .arrange import WIDGET_TYPES, Box, arrange, declared

NOTE = "MarkdownNote"


@dataclass(frozen=True)
class Link:
    """An input fed by output `slot` of the node called `node`."""

    node: str
    slot: int = 0


@dataclass(frozen=True)
class Node:
    """A node of a graph.

    Attributes:
        type: class_type.
        inputs: name -> value or Link; widgets left out keep their default.
        title: shown instead of the node's own name.
        models: files that the host offers to download when they are missing: name, url, directory.
        height: px it takes up at least, where its widgets and pictures need less.
        text: of a note; a note has no place in the API form.
    """

    type: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    models: tuple[Mapping[str, str], ...] = ()
    height: int = 0
    text: str = ""


@dataclass(frozen=True)
class Group:
    """A step: nodes below one another in a coloured frame."""

    title: str
    color: str
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """Groups below one another, with nodes of one width in px."""

    width: int
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Workflow:
    """Nodes by name, in the order of their ids, and where they stand."""

    nodes: Mapping[str, Node]
    columns: tuple[Column, ...]


def api_json(workflow: Workflow, info: Mapping[str, Any]) -> str:
    """The API form, every widget written out, as the front end exports it."""
    ids = _ids(workflow)
    graph = {}
    for name, node in workflow.nodes.items():
        if node.type == NOTE:
            continue
        inputs = {}
        for key, kind, options in declared(info[node.type]):
            if key in node.inputs:
                value = node.inputs[key]
                inputs[key] = [str(ids[value.node]), value.slot] if isinstance(value, Link) else value
            elif kind in WIDGET_TYPES:
                inputs[key] = _default(kind, options)
        _refuse_unknown(name, node, info)
        title = node.title or info[node.type]["display_name"]
        graph[str(ids[name])] = {"class_type": node.type, "inputs": inputs, "_meta": {"title": title}}
    return _text(graph)


def canvas_json(workflow: Workflow, info: Mapping[str, Any]) -> str:
    """The canvas form, as the front end saves it (format 0.4)."""
    ids = _ids(workflow)
    links = _links(workflow, info)
    places, boxes = arrange(workflow, info)
    nodes = [_canvas_node(name, node, places[name], ids, links, info) for name, node in workflow.nodes.items()]
    groups = [
        {"id": number, "title": group.title, "bounding": list(box), "color": group.color, "font_size": 24}
        for number, (group, box) in enumerate(boxes, 1)
    ]
    return _text(
        {
            "last_node_id": len(ids),
            "last_link_id": len(links),
            "nodes": nodes,
            "links": [list(link) for link in links],
            "groups": groups,
            "config": {},
            "extra": {},
            "version": 0.4,
        }
    )


def _ids(workflow: Workflow) -> dict[str, int]:
    return {name: number for number, name in enumerate(workflow.nodes, 1)}


def _default(kind: str, options: Mapping[str, Any]) -> Any:
    if "default" in options:
        return options["default"]
    if kind == "COMBO":
        return next(iter(options.get("options", [])), None)
    return {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}[kind]


def _refuse_unknown(name: str, node: Node, info: Mapping[str, Any]) -> None:
    known = {key for key, *_ in declared(info[node.type])}
    if unknown := set(node.inputs) - known:
        raise ValueError(f"workflow node {name}: {node.type} has no input {sorted(unknown)}; it has {sorted(known)}.")


def _links(workflow: Workflow, info: Mapping[str, Any]) -> list[tuple[int, int, int, int, int, str]]:
    """(link, from node, from slot, to node, to slot, type), target slots counted as the front end shows them."""
    ids, links = _ids(workflow), []
    for name, node in workflow.nodes.items():
        for slot, (key, _kind) in enumerate(_sockets(node, info)):
            value = node.inputs.get(key)
            if isinstance(value, Link):
                kind = info[workflow.nodes[value.node].type]["output"][value.slot]
                links.append((len(links) + 1, ids[value.node], value.slot, ids[name], slot, kind))
    return links


def _sockets(node: Node, info: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Inputs drawn as sockets: the real ones, then the widgets that a link feeds."""
    if node.type == NOTE:
        return []
    known = [(key, kind) for key, kind, *_ in declared(info[node.type])]
    plain = [(key, kind.rstrip("*")) for key, kind in known if kind not in WIDGET_TYPES]
    fed = [(key, kind) for key, kind in known if kind in WIDGET_TYPES and isinstance(node.inputs.get(key), Link)]
    return plain + fed


def _canvas_node(name: str, node: Node, place: Box, ids, links, info: Mapping[str, Any]) -> dict[str, Any]:
    number = ids[name]
    widgets = {key for key, kind, *_ in declared(info[node.type]) if kind in WIDGET_TYPES} if node.type != NOTE else ()
    inputs = []
    for slot, (key, kind) in enumerate(_sockets(node, info)):
        link = next((link[0] for link in links if link[3:5] == (number, slot)), None)
        inputs.append({"name": key, "type": kind, "link": link} | ({"widget": {"name": key}} if key in widgets else {}))
    canvas: dict[str, Any] = {
        "id": number,
        "type": node.type,
        "pos": [place.x, place.y],
        "size": [place.width, place.height],
        "flags": {},
        "order": number - 1,
        "mode": 0,
        "inputs": inputs,
        "outputs": _outputs(node, number, links, info),
        "properties": {} if node.type == NOTE else {"Node name for S&R": node.type},
        "widgets_values": _widget_values(node, info),
    }
    if node.models:
        canvas["properties"]["models"] = [dict(model) for model in node.models]
    if node.title:
        canvas["title"] = node.title
    if node.type == NOTE:
        canvas |= {"color": "#432", "bgcolor": "#653"}
    return canvas


def _outputs(node: Node, number: int, links, info: Mapping[str, Any]) -> list[dict[str, Any]]:
    if node.type == NOTE:
        return []
    description = info[node.type]
    return [
        {"name": label, "type": kind, "links": [link[0] for link in links if link[1:3] == (number, slot)]}
        for slot, (label, kind) in enumerate(zip(description["output_name"], description["output"], strict=True))
    ]


def _widget_values(node: Node, info: Mapping[str, Any]) -> list[Any]:
    """Values in the front end's widget order, with the widgets that it adds itself."""
    if node.type == NOTE:
        return [node.text]
    values = []
    for key, kind, options in declared(info[node.type]):
        if kind not in WIDGET_TYPES:
            continue
        value = node.inputs.get(key)
        values.append(_default(kind, options) if value is None or isinstance(value, Link) else value)
        if options.get("control_after_generate"):
            values.append("fixed")
        if options.get("image_upload"):
            values.append("image")
    return values


def _text(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
