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

from ..client import ComfyClient, PromptRejected, RequestFailed
from .fill import Graph, named
from .settings import inputs

OFFICIAL = {"InContextEditInstruction", "DiptychCreate", "ICEFConditioning"}
PACK_NODE = "ICEditDiptych"  # tells which folder of the server's custom_nodes is ours
FOLDERS = {
    "unet_name": "diffusion_models",
    "clip_name": "text_encoders",
    "clip_name1": "text_encoders",
    "clip_name2": "text_encoders",
    "vae_name": "vae",
    "lora_name": "loras",
    "ckpt_name": "checkpoints",
}
"""Input of a loader node -> folder below ComfyUI/models."""
MOST_CHOICES = 40  # that an error lists


def is_file(workflow: str) -> bool:
    """Whether `--workflow` means a file; else it is the name of a shipped workflow."""
    return workflow.endswith(".json") or Path(workflow).name != workflow


def read(file: Path) -> Graph:
    """The workflow in a file.

    Raises:
        ValueError: it cannot be read, or is no workflow in the API format.
    """
    try:
        return parse(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as problem:
        raise ValueError(f"{file}: {problem}, but a workflow in the API format is needed.") from problem


def parse(text: str, name: str) -> Graph:
    """A workflow in the API format.

    Raises:
        ValueError: it is something else; a canvas workflow is told from the rest.
    """
    try:
        graph = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"{name}: not JSON ({problem}), but a workflow in the API format is needed.") from None
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
    return graph


async def shipped(client: ComfyClient, name: str) -> Graph:
    """A workflow of the pack on the server.

    Raises:
        ValueError: the server does not have the pack, or the pack no such workflow.
    """
    module = str((await client.object_info(PACK_NODE)).get(PACK_NODE, {}).get("python_module", ""))
    pack = module.removeprefix("custom_nodes.")
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
        known = sorted((await client.get_json("/workflow_templates")).get(pack, []))
        if name in known and quote(pack, safe="+&~") != pack:
            raise ValueError(
                f"--workflow {name}: the server lists it and serves it not, since the pack's folder there is named "
                f"{pack!r}: ComfyUI needs a name without blanks, brackets and letters other than A to Z. Rename it to "
                "'icedit' and start that ComfyUI again, or name a workflow file."
            ) from None
        raise ValueError(
            f"--workflow {name}: the pack on the server has no such workflow; it has {', '.join(known) or 'none'}."
        ) from None
    return parse(json.dumps(graph), name)


async def schemas(client: ComfyClient, graph: Graph) -> dict[str, Any]:
    """What the server says about each node type of the graph.

    Raises:
        ValueError: it does not have some of them; the text says of which pack they are.
    """
    known: dict[str, Any] = {}
    for kind in sorted({node["class_type"] for node in graph.values()}):
        known |= await client.object_info(kind)
    missing = sorted({node["class_type"] for node in graph.values()} - set(known))
    if missing:
        if set(missing) & OFFICIAL:
            raise ValueError(
                f"the workflow has nodes of the official ICEdit pack: {', '.join(sorted(set(missing) & OFFICIAL))}. "
                "Open it in a ComfyUI with this pack, replace them and export it again: docs/moving.md says how."
            )
        ours = [kind for kind in missing if kind.startswith("ICEdit")]
        others = [kind for kind in missing if kind not in ours]
        parts = [f"{', '.join(ours)} of the ICEdit pack: install or update it there"] if ours else []
        parts += [f"{', '.join(others)} of another pack or a newer ComfyUI"] if others else []
        raise ValueError(f"the server at {client.base_url} lacks node types of the workflow: {'; '.join(parts)}.")
    return known


def explained(rejection: PromptRejected, graph: Graph, known: Mapping[str, Any]) -> str:
    """The server's refusal; where a file or another choice is not there, with what the server offers instead."""
    others, offers = {}, []
    for node_id, node in rejection.node_errors.items():
        declared = inputs(known.get(node["class_type"], {}))
        left = []
        for error in node["errors"]:
            name = str((error.get("extra_info") or {}).get("input_name"))
            if error["type"] == "value_not_in_list" and name in declared:
                offers.append(_offer(graph, node_id, name, declared[name]))
            else:
                left.append(error)
        if left:
            others[node_id] = {**node, "errors": left}
    return "\n".join([str(PromptRejected(rejection.error, others)), *offers])


def _offer(graph: Graph, node_id: str, name: str, spec: list[Any]) -> str:
    choices = spec[0] if isinstance(spec[0], list) else spec[1].get("options") or []
    listed = ", ".join(map(str, choices[:MOST_CHOICES])) or "nothing"
    more = f" and {len(choices) - MOST_CHOICES} more" if len(choices) > MOST_CHOICES else ""
    wanted = repr(graph[node_id]["inputs"].get(name))
    where = f" in models/{FOLDERS[name]}" if name in FOLDERS else ""
    other = f" Another one: --set {node_id}.{name}=..." if choices else ""
    return (
        f"  node {named(graph, node_id)}, input {name!r}: the server has no {wanted}{where}; it offers {listed}{more}."
        f"{other}"
    )


def _is_node(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)
