"""Puts a picture, an instruction and a seed into a workflow in the API format, finding the nodes by what they are."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from .. import foreign

Graph = dict[str, dict[str, Any]]
Place = tuple[str, str]
"""An input of a node: node id, input name."""

LOADER = "LoadImage"


def fill_in(
    graph: Graph,
    *,
    image: str | None = None,
    instruction: str | None = None,
    seed: int | None = None,
    settled: Collection[Place] = (),
) -> None:
    """Put what is not None into the graph, in place.

    Args:
        image: a LoadImage value. It goes to the one LoadImage node; without one, to the node that gives ICEditDiptych
            its picture from nothing (a demo scene), which becomes a LoadImage.
        instruction: goes to all that read one: every input called `instruction`, or the node that feeds them.
        seed: of every sampler in the graph.
        settled: inputs that are set already and are left alone.
    Raises:
        ValueError: there is no such node, or several that could be meant.
    """
    if instruction is not None:
        _set_instruction(graph, instruction, settled)
    if image is not None:
        _set_image(graph, image, settled)
    if seed is not None:
        for node_id, name in _seeds(graph, settled):
            graph[node_id]["inputs"][name] = seed


def named(graph: Graph, node_id: str) -> str:
    """A node in words: its id, its type, and its title if it has one of its own."""
    node = graph[node_id]
    title, kind = foreign.line(title_of(node), 60), foreign.line(node["class_type"], 60)
    shown = f", '{title}'" if title_of(node) and title != kind else ""
    return f"{foreign.line(node_id, 60)} ({kind}{shown})"


def title_of(node: dict[str, Any]) -> str:
    """The node's title as exported from the canvas, "" if there is none."""
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return title if isinstance(title, str) else ""


def links(graph: Graph) -> Iterator[tuple[Place, list[Any]]]:
    """Every input that another node feeds, with its link [node id, slot]."""
    for node_id, node in graph.items():
        for name, value in node["inputs"].items():
            if _is_link(value) and value[0] in graph:
                yield (node_id, name), value


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and [type(part) for part in value] == [str, int]


def _set_instruction(graph: Graph, words: str, settled: Collection[Place]) -> None:
    linked = dict(links(graph))
    places: dict[Place, list[Place]] = {}  # where the words come from -> the inputs that read them
    for node_id, node in graph.items():
        here = (node_id, "instruction")
        if "instruction" in node["inputs"] and here not in settled:
            link = linked.get(here)
            origin = (link[0], f"output {link[1]}") if link else ("", str(node["inputs"]["instruction"]))
            places.setdefault(origin, []).append(here)
    if len(places) != 1:
        found = ", ".join(named(graph, readers[0][0]) for readers in places.values())
        raise ValueError(
            f"the workflow has {f'{len(places)} instructions ({found})' if places else 'no node with an instruction'}, "
            "but INSTRUCTION has to go to one. "
            + ("Give the others with --set NODE.instruction=..." if places else "Use an ICEdit Prompt node in it.")
        )
    ((source, _), readers) = next(iter(places.items()))
    if source and graph[source]["class_type"].startswith("Primitive") and "value" in graph[source]["inputs"]:
        readers = [(source, "value")]
    for node_id, name in readers:
        graph[node_id]["inputs"][name] = words


def _set_image(graph: Graph, image: str, settled: Collection[Place]) -> None:
    loaders = [i for i, node in graph.items() if node["class_type"] == LOADER and (i, "image") not in settled]
    if len(loaders) == 1:
        graph[loaders[0]]["inputs"]["image"] = image
        return
    linked = dict(links(graph))
    fed = {node_id for node_id, _ in linked}
    sources = {  # of the diptychs' pictures, those that are fed by nothing
        (link[0], link[1])
        for (node_id, name), link in linked.items()
        if name == "image" and graph[node_id]["class_type"] == "ICEditDiptych" and link[0] not in fed
    } - {(node_id, 0) for node_id, _ in settled}
    if len(sources) != 1:
        found = ", ".join(named(graph, node_id) for node_id in loaders or [node_id for node_id, _ in sorted(sources)])
        raise ValueError(
            f"the workflow has {f'several places for a picture ({found})' if found else 'no LoadImage node'}, but "
            "IMAGE has to go to one. " + ("Give the others with --set NODE.image=..." if found else "Add one to it.")
        )
    ((node_id, slot),) = sources
    if graph[node_id]["class_type"] == LOADER:
        graph[node_id]["inputs"]["image"] = image
    else:
        _become_loader(graph, node_id, slot, image)


def _become_loader(graph: Graph, node_id: str, slot: int, image: str) -> None:
    uses = [link for _, link in links(graph) if link[0] == node_id]
    if any(link[1] != slot for link in uses):
        raise ValueError(
            f"the workflow uses more of node {named(graph, node_id)} than its picture, but IMAGE can only take the "
            "picture's place. Use a LoadImage node in it."
        )
    graph[node_id] = {"class_type": LOADER, "inputs": {"image": image}}
    for link in uses:
        link[1] = 0


def _seeds(graph: Graph, settled: Collection[Place]) -> list[Place]:
    """Seeds of noise: beside a number of steps (samplers), or called noise_seed."""
    places = [
        (node_id, name)
        for node_id, node in graph.items()
        for name in ("seed", "noise_seed")
        if name in node["inputs"] and (name == "noise_seed" or "steps" in node["inputs"])
    ]
    if not places:
        raise ValueError("the workflow has no sampler with a seed, but --seed needs one. Leave --seed out.")
    return [place for place in places if place not in settled]
