"""Write a graph in the form that a server's API takes: boxes opened, every widget written out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .graph import NOTE, PORT, WIDGET_TYPES, Link, Node, Workflow, declared, default, ids


def api_json(workflow: Workflow, info: Mapping[str, Any]) -> str:
    """The API form, as the front end exports it.

    Args:
        info: the host's `/object_info`.
    """
    return json.dumps(api_graph(workflow, info), indent=1, ensure_ascii=False) + "\n"


def api_graph(workflow: Workflow, info: Mapping[str, Any]) -> dict[str, Any]:
    """Node number -> node; those inside a box are called BOX:NODE."""
    graph: dict[str, Any] = {}
    _add(graph, workflow, info, "", {})
    return graph


def _add(graph: dict[str, Any], workflow: Workflow, info: Mapping[str, Any], prefix: str, ports: Mapping) -> None:
    """Add a workflow's nodes; `ports` are the values that come into the box it is in."""
    numbers = ids(workflow)
    for name, node in workflow.nodes.items():
        if node.type == NOTE:
            continue
        given = {
            key: _value(value, workflow, prefix, ports)
            for key, value in node.inputs.items()
            if not _is_open(value, ports)
        }
        if node.type in workflow.boxes:
            box = workflow.boxes[node.type]
            _add(graph, box.inside, info, f"{prefix}{numbers[name]}:", {**box.values, **given})
        else:
            graph[f"{prefix}{numbers[name]}"] = _node(name, node, given, info)


def _node(name: str, node: Node, given: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    known = list(declared(info[node.type]))
    if unknown := set(node.inputs) - {key for key, *_ in known}:
        names = sorted(key for key, *_ in known)
        raise ValueError(f"workflow node {name}: {node.type} has no input {sorted(unknown)}; it has {names}.")
    inputs = {
        key: given[key] if key in given else default(kind, options)
        for key, kind, options in known
        if key in given or kind in WIDGET_TYPES
    }
    title = node.title or info[node.type]["display_name"]
    return {"class_type": node.type, "inputs": inputs, "_meta": {"title": title}}


def _is_open(value: Any, ports: Mapping[str, Any]) -> bool:
    """Is it a port that nothing is connected to?"""
    return isinstance(value, Link) and value.node.startswith(PORT) and value.node.removeprefix(PORT) not in ports


def _value(value: Any, workflow: Workflow, prefix: str, ports: Mapping[str, Any]) -> Any:
    if not isinstance(value, Link):
        return value
    if value.node.startswith(PORT):
        return ports[value.node.removeprefix(PORT)]
    number = f"{prefix}{ids(workflow)[value.node]}"
    box = workflow.boxes.get(workflow.nodes[value.node].type)
    if box is None:
        return [number, value.slot]
    inner = list(box.outputs.values())[value.slot]
    return [f"{number}:{ids(box.inside)[inner.node]}", inner.slot]
