"""Graphs as they are defined here, once, for the canvas and for the API: nodes, links, steps, boxes that open up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

NOTE = "MarkdownNote"
WIDGET_TYPES = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
PORT = "@"
ADDED_WIDGETS = ("control_after_generate", "image_upload")  # options by which the front end adds a widget of its own


@dataclass(frozen=True)
class Link:
    """An input fed by output `slot` of the node called `node`."""

    node: str
    slot: int = 0


@dataclass(frozen=True)
class Node:
    """A node of a graph.

    Attributes:
        type: class_type, or the name of one of the workflow's boxes.
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
    """Nodes by name, in the order of their ids from `first` on, where they stand, and the boxes among their types."""

    nodes: Mapping[str, Node]
    columns: tuple[Column, ...]
    boxes: Mapping[str, Box] = field(default_factory=dict)
    first: int = 1


@dataclass(frozen=True)
class Box:
    """A part of a graph that looks like one node and opens up: the front end's subgraph.

    Attributes:
        name: shown on the canvas and in the node search.
        inside: its nodes; `port(name)` there is what is connected or typed in outside.
        inputs: names of the ports, sockets first.
        outputs: name -> which output inside.
        values: what its widgets hold at first, where that is not what those inside do.
        description, category: for the node search.
    """

    name: str
    inside: Workflow
    inputs: tuple[str, ...]
    outputs: Mapping[str, Link]
    values: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    category: str = ""


def port(name: str) -> Link:
    """Inside a box: what comes in by that name."""
    return Link(PORT + name)


def ids(workflow: Workflow) -> dict[str, int]:
    """Node numbers; they go on from `first`, since the front end renumbers nodes of a box that the canvas has too."""
    return {name: number for number, name in enumerate(workflow.nodes, workflow.first)}


def declared(description: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(name, kind, options) of every input, in the front end's order; a star after what is never a widget."""
    for section in ("required", "optional"):
        for name, spec in description["input"].get(section, {}).items():
            options = spec[1] if len(spec) > 1 else {}
            if isinstance(spec[0], list):
                yield name, "COMBO", {**options, "options": spec[0]}
            else:
                yield name, f"{spec[0]}*" if options.get("forceInput") else spec[0], options


def default(kind: str, options: Mapping[str, Any]) -> Any:
    """What a widget holds at first."""
    if "default" in options:
        return options["default"]
    if kind == "COMBO":
        return next(iter(options.get("options", [])), None)
    return {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}[kind]


def described(workflow: Workflow, info: Mapping[str, Any]) -> dict[str, Any]:
    """The host's `/object_info`, with the workflow's boxes as if they were nodes."""
    return {**info, **{name: _described(box, info) for name, box in workflow.boxes.items()}}


def _described(box: Box, info: Mapping[str, Any]) -> dict[str, Any]:
    taken: dict[str, list[Any]] = {}
    for node in box.inside.nodes.values():
        if node.type == NOTE:
            continue
        for name, kind, options in declared(info[node.type]):
            value = node.inputs.get(name)
            if isinstance(value, Link) and value.node.startswith(PORT):
                key = value.node.removeprefix(PORT)
                plain = {name: option for name, option in options.items() if name not in ADDED_WIDGETS}
                first = {"default": box.values[key]} if key in box.values else {}
                taken.setdefault(key, [kind.rstrip("*"), plain | first])
    if sorted(taken) != sorted(box.inputs):
        raise ValueError(f"{box.name}: got ports {sorted(taken)} inside, but it declares {sorted(box.inputs)}.")
    kinds = [info[box.inside.nodes[link.node].type]["output"][link.slot] for link in box.outputs.values()]
    return {
        "display_name": box.name,
        "input": {"required": {name: taken[name] for name in box.inputs}},
        "output": kinds,
        "output_name": list(box.outputs),
    }
