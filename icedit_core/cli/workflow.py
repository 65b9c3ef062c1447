"""Where a workflow comes from, whether a server has what it needs, and what is wrong if it refuses.

The shipped workflows are read from the server: ComfyUI serves the folder of a pack's templates, with the API forms in
it. So they always fit the nodes that the server has, and nothing needs to be installed beside this package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .. import foreign
from ..client import ComfyClient, PromptRejected, RequestFailed, UnexpectedAnswer, answers
from ..client.errors import as_list, as_object
from .fill import Graph, named
from .settings import choices, inputs

OFFICIAL = {"InContextEditInstruction", "DiptychCreate", "ICEFConditioning"}
PACK_NODE = "ICEditDiptych"  # tells which folder of the server's custom_nodes is ours
FOLDERS = {
    "unet_name": "diffusion_models",
    "clip_name": "text_encoders",
    "clip_name1": "text_encoders",
    "clip_name2": "text_encoders",
    "vae_name": "vae",
    "lora_name": "loras",
    "adapter_name": "loras",
    "ckpt_name": "checkpoints",
}
"""Input of a loader node -> folder below ComfyUI/models."""
MOST_CHOICES = 40  # that an error lists
MOST_NODES = 2000


def is_file(workflow: str) -> bool:
    """Whether `--workflow` means a file; else it is the name of a shipped workflow."""
    return workflow.endswith(".json") or Path(workflow).name != workflow


def read(file: Path) -> Graph:
    """The workflow in a file.

    Raises:
        ValueError: it cannot be read, or is no workflow in the API format.
    """
    try:
        return parse(file.read_bytes(), str(file))
    except OSError as problem:
        raise ValueError(f"{file}: {problem}, but a workflow in the API format is needed.") from problem


def parse(text: str | bytes, name: str) -> Graph:
    """A workflow in the API format, as text or as a file's bytes with or without a byte-order mark.

    Raises:
        ValueError: it is something else; a canvas workflow is told from the rest.
    """
    try:
        graph = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"{name}: not JSON ({problem}), but a workflow in the API format is needed.") from None
    return checked(graph, name)


def checked(graph: Any, name: str) -> Graph:
    """A workflow in the API format, or what programs send to the server, which holds one as `prompt`.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(graph, dict) and isinstance(graph.get("prompt"), dict) and "class_type" not in graph["prompt"]:
        graph = graph["prompt"]
    if isinstance(graph, dict) and isinstance(graph.get("nodes"), list):
        raise ValueError(
            f"{name}: a workflow as the canvas saves it, but the API format is needed. Open it in ComfyUI and choose "
            "File > Export (API), or give the name of a workflow of the pack, e.g. --workflow icedit_flux_fill."
        )
    if not isinstance(graph, dict) or not graph or not all(map(_is_node, graph.values())):
        raise ValueError(
            f"{name}: not a workflow in the API format, whose every entry is a node with class_type and inputs. "
            "In ComfyUI, File > Export (API) writes it."
        )
    if len(graph) > MOST_NODES:
        raise ValueError(f"{name}: a workflow of {len(graph)} nodes, but at most {MOST_NODES} are taken.")
    return graph


async def shipped(client: ComfyClient, name: str) -> Graph:
    """A workflow of the pack on the server.

    Raises:
        ValueError: the server does not have the pack, or the pack no such workflow.
    """
    module = as_object((await client.object_info(PACK_NODE)).get(PACK_NODE)).get("python_module")
    pack = module.removeprefix("custom_nodes.") if isinstance(module, str) and foreign.is_plain(module) else ""
    if not pack:
        raise ValueError(
            f"--workflow {name}: a workflow of the ICEdit pack, but the server at {client.base_url} has no such pack. "
            "Put it into that ComfyUI's custom_nodes and start it again, or name a workflow file."
        )
    try:
        graph = await client.get_json(f"/api/workflow_templates/{quote(pack)}/api/{quote(name)}.json")
    except RequestFailed as problem:
        if problem.status != 404:
            raise
        known = sorted(map(str, as_list((await client.get_json("/workflow_templates")).get(pack))))
        if name in known and quote(pack, safe="+&~") != pack:
            raise ValueError(
                f"--workflow {name}: the server lists it but does not serve it: the pack's folder there is named "
                f"'{foreign.line(pack)}', and ComfyUI needs one without blanks, brackets or letters but A to Z. "
                "Rename it to 'icedit' and start that ComfyUI again, or name a workflow file."
            ) from None
        raise ValueError(
            f"--workflow {name}: the pack on the server has no such workflow; "
            f"it has {foreign.listed(known, MOST_CHOICES)}."
        ) from None
    return checked(graph, name)


async def schemas(client: ComfyClient, graph: Graph) -> dict[str, Any]:
    """What the server says about each node type of the graph.

    Raises:
        ValueError: it does not have some of them; the text says of which pack they are.
    """
    known: dict[str, Any] = {}
    size = 0
    for kind in sorted({node["class_type"] for node in graph.values()}):
        schema = as_object((await client.object_info(kind)).get(kind))
        if schema:
            known[kind] = {"input": schema.get("input")}
        size += answers.values_in(json.dumps(known.get(kind)))
        if size > answers.MOST_VALUES:
            raise UnexpectedAnswer(f"the server at {client.base_url} describes its nodes without end.")
    missing = sorted({node["class_type"] for node in graph.values()} - set(known))
    if missing:
        if set(missing) & OFFICIAL:
            raise ValueError(
                f"the workflow has nodes of the official ICEdit pack: {', '.join(sorted(set(missing) & OFFICIAL))}. "
                "Open it in a ComfyUI with this pack, replace them and export it again: docs/moving.md says how."
            )
        ours = [kind for kind in missing if kind.startswith("ICEdit")]
        others = [kind for kind in missing if kind not in ours]
        words = {
            "of the ICEdit pack: install or update it there": ours,
            "of another pack or a newer ComfyUI": others,
        }
        parts = [f"{foreign.listed(kinds, MOST_CHOICES)} {whose}" for whose, kinds in words.items() if kinds]
        raise ValueError(f"the server at {client.base_url} lacks node types of the workflow: {'; '.join(parts)}.")
    return known


def explained(rejection: PromptRejected, graph: Graph, known: Mapping[str, Any]) -> str:
    """The server's refusal; where a file or another choice is not there, with what the server offers instead."""
    others, offers = {}, []
    for node_id, node in rejection.node_errors.items():
        kind = as_object(graph.get(node_id)).get("class_type")
        declared = inputs(as_object(known.get(str(kind))))
        errors, left = as_list(as_object(node).get("errors")), []
        for error in map(as_object, errors):
            name = str(as_object(error.get("extra_info")).get("input_name"))
            if error.get("type") == "value_not_in_list" and name in declared:
                offers.append(_offer(graph, node_id, name, declared[name]))
            else:
                left.append(error)
        if left or not errors:
            others[node_id] = {**as_object(node), "errors": left}
    return "\n".join([str(PromptRejected(rejection.error, others)), *offers[:MOST_CHOICES]])


def _offer(graph: Graph, node_id: str, name: str, spec: list[Any]) -> str:
    offered = choices(spec)
    wanted = foreign.line(repr(graph[node_id]["inputs"].get(name)))
    where = f" in models/{FOLDERS[name]}" if name in FOLDERS else ""
    other = f" Another one: --set {foreign.line(node_id, 60)}.{name}=..." if offered else ""
    return (
        f"  node {named(graph, node_id)}, input '{foreign.line(name)}': the server has no {wanted}{where}; "
        f"it offers {foreign.listed(offered, MOST_CHOICES)}.{other}"
    )


def _is_node(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)
