"""`--set NODE.INPUT=VALUE`: one input of one node of a workflow, by what the server says about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import foreign
from ..client.errors import as_list, as_object
from .fill import Graph, Place, named, title_of

MOST_LISTED = 100  # nodes or inputs that an error names
BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "INT": (int, "a whole number"),
    "FLOAT": (float, "a number"),
    "BOOLEAN": (lambda word: BOOLEANS[word.lower()], "true or false"),
}


def parse(text: str) -> tuple[str, str]:
    """The two sides of `NODE.INPUT=VALUE`.

    Raises:
        ValueError: it has another form.
    """
    target, equals, value = text.partition("=")
    node, dot, name = target.partition(".")
    if not (equals and dot and node and name):
        raise ValueError(f"--set got {text!r}, but the form is NODE.INPUT=VALUE. For example --set KSampler.steps=20.")
    return target, value


def apply(graph: Graph, schemas: Mapping[str, Mapping[str, Any]], target: str, value: str) -> Place:
    """Set one input of the graph, in place.

    Args:
        schemas: class type -> what the server's object_info says about it.
        target: `NODE.INPUT`; NODE is an id, a title or a class type and may itself hold dots.
    Returns:
        the input that was set.
    Raises:
        ValueError: unknown or ambiguous node, unknown input, or a value that is not of the input's type.
    """
    node_id, name = _node(graph, target)
    declared = inputs(schemas.get(graph[node_id]["class_type"], {}))
    if name not in declared:
        raise ValueError(
            f"--set {target}: node {named(graph, node_id)} has no input {name!r}; it has "
            f"{foreign.listed(declared, MOST_LISTED)}."
        )
    graph[node_id]["inputs"][name] = _value(target, value, declared[name])
    return node_id, name


def _node(graph: Graph, target: str) -> tuple[str, str]:
    """Id of the node and name of the input; the shortest beginning that names a node is the node."""
    at = -1
    while (at := target.find(".", at + 1)) >= 0:
        name, rest = target[:at], target[at + 1 :]
        found = (
            [name]
            if name in graph
            else [i for i, node in graph.items() if name in (title_of(node), node["class_type"])]
        )
        if len(found) > 1:
            meant = ", ".join(named(graph, node_id) for node_id in found[:MOST_LISTED])
            raise ValueError(f"--set {target}: {name!r} could be any of {meant}. Name it by its id.")
        if found:
            return found[0], rest
    known = ", ".join(named(graph, node_id) for node_id in list(graph)[:MOST_LISTED])
    raise ValueError(f"--set {target}: no node has such an id, title or type. The workflow's nodes are {known}.")


def inputs(schema: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Input name -> its description, [type, options]."""
    groups = as_object(schema.get("input"))
    described = [item for part in ("required", "optional") for item in as_object(groups.get(part)).items()]
    return {name: spec for name, spec in described if isinstance(spec, list) and spec}


def choices(spec: list[Any]) -> list[Any]:
    """What an input's description offers to choose from."""
    if isinstance(spec[0], list):
        offered = spec[0]
    else:
        offered = as_list(as_object(spec[1] if len(spec) > 1 else None).get("options"))
    return [choice for choice in offered if isinstance(choice, (str, int, float))]


def _value(target: str, text: str, spec: list[Any]) -> Any:
    """The text as a value of the declared type; whether the number is in range is for the server to say."""
    kind = spec[0]
    if isinstance(kind, list) or kind == "COMBO":  # numbers can be among the choices
        return next((choice for choice in choices(spec) if str(choice) == text), text)
    if kind == "STRING":
        return text
    if not isinstance(kind, str) or kind not in READERS:
        raise ValueError(
            f"--set {target}: this input is a {foreign.line(kind, 60)} from another node, but --set gives plain values "
            "only."
        )
    read, needed = READERS[kind]
    try:
        return read(text)
    except (ValueError, KeyError):
        raise ValueError(f"--set {target}: got {text!r}, but this input takes {needed} ({kind}).") from None
