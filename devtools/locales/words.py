"""The pack's nodes as the host describes them, and the English locale that follows from that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Node = Mapping[str, Any]  # one entry of the host's /object_info
PACK = "ICEdit"  # first part of every category of ours, a name in every language
CONTROL = "control_after_generate"  # the widget that the front end adds below a seed
SPECIAL = frozenset("{}@|")  # of the front end's message format: it drops or misreads texts with these


def own(info: Mapping[str, Node]) -> dict[str, Node]:
    """The pack's nodes, without parts that only other nodes use and that no menu shows."""
    return {
        name: node
        for name, node in sorted(info.items())
        if node["category"].split("/")[0] == PACK and not node.get("dev_only")
    }


def inputs(node: Node) -> Iterator[tuple[str, Any, Mapping[str, Any], bool]]:
    """Name, type (or the list of choices), options and whether it is optional, for every input a person sees."""
    for group in ("required", "optional"):
        for name, (kind, *rest) in node["input"].get(group, {}).items():
            yield name, kind, rest[0] if rest else {}, group == "optional"


def outputs(node: Node) -> Iterator[tuple[str, str, str]]:
    """Name, type and tooltip of every output."""
    tooltips = node.get("output_tooltips") or [None] * len(node["output"])
    for name, kind, tooltip in zip(node["output_name"], node["output"], tooltips, strict=True):
        yield name, kind, tooltip or ""


def plain(text: str) -> bool:
    """Whether the front end shows the text as it is."""
    return not SPECIAL & set(text)


def english(nodes: Mapping[str, Node]) -> dict[str, dict[str, Any]]:
    """File name -> content of locales/en.

    A text that the front end's message format would garble is left out: it then shows the schema's own.
    """
    parts = sorted({part for node in nodes.values() for part in node["category"].split("/")} - {PACK})
    return {
        "nodeDefs.json": {name: _english(node) for name, node in nodes.items()},
        "main.json": {"nodeCategories": {part: part for part in parts}},
    }


def _english(node: Node) -> dict[str, Any]:
    entry = _plain(display_name=node["display_name"], description=node["description"])
    fields = {}
    for name, _, options, _ in inputs(node):
        fields[name] = _plain(name=options.get("display_name") or name, tooltip=options.get("tooltip", ""))
        if options.get(CONTROL):
            fields[CONTROL] = {"name": CONTROL.replace("_", " ")}
    if fields:
        entry["inputs"] = fields
    entry["outputs"] = {
        str(index): _plain(name=name, tooltip=tooltip) for index, (name, _, tooltip) in enumerate(outputs(node))
    }
    return entry


def _plain(**texts: str) -> dict[str, Any]:
    return {key: text for key, text in texts.items() if text and plain(text)}
