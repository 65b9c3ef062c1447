"""What can be said of a workflow before it runs: its hash, how often it calls the model, which files it loads."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..cli.workflow import FOLDERS
from ..client import ComfyClient, ComfyError, Graph
from ..client.errors import as_object

CALLS = {
    "euler": (1, 0), "euler_ancestral": (1, 0), "ddim": (1, 0), "lcm": (1, 0), "lms": (1, 0), "ipndm": (1, 0),
    "deis": (1, 0), "dpmpp_2m": (1, 0), "dpmpp_2m_sde": (1, 0), "res_multistep": (1, 0),
    "heun": (2, -1), "dpm_2": (2, -1),
}  # fmt: skip
"""Sampler -> (a, b) of its a * steps + b model calls at cfg 1. Others are not known here."""
_SHA = re.compile(r"(?:0x)?([0-9a-f]{64})")
MOST_HASHED = 1 << 20  # bytes at once


def graph_hash(graph: Graph) -> str:
    """SHA-256 of the graph's canonical JSON, without what the canvas adds (`_meta`)."""
    plain = {node_id: {k: v for k, v in node.items() if k != "_meta"} for node_id, node in graph.items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def seed_of(graph: Graph) -> int | None:
    """The seed of the samplers, if they have one in common."""
    found = {
        node["inputs"][name]
        for node in graph.values()
        for name in ("seed", "noise_seed")
        if isinstance(node["inputs"].get(name), int) and (name == "noise_seed" or "steps" in node["inputs"])
    }
    return found.pop() if len(found) == 1 else None


def nfe(graph: Graph) -> int | None:
    """Model calls of a run: both conditions count where cfg is not 1. None if a sampler is not known here."""
    total = 0
    for node in graph.values():
        given = node["inputs"]
        if not ({"steps", "noise_seed", "sampler", "sigmas"} & given.keys()):
            continue
        steps, cfg, name = (given.get(key) for key in ("steps", "cfg", "sampler_name"))
        plain = node["class_type"] == "KSampler" and isinstance(steps, int) and isinstance(cfg, (int, float))
        if not plain or not isinstance(name, str) or name not in CALLS or given.get("denoise", 1.0) != 1.0:
            return None
        a, b = CALLS[name]
        total += (a * steps + b) * (1 if cfg == 1 else 2)
    return total or None


def model_files(graph: Graph) -> list[tuple[str, str]]:
    """(folder below models, file name) of everything that the graph's loaders name."""
    found = {
        (FOLDERS[name], value)
        for node in graph.values()
        for name, value in node["inputs"].items()
        if name in FOLDERS and isinstance(value, str)
    }
    return sorted(found)


async def model_hashes(client: ComfyClient, graph: Graph, models: Path | None) -> dict[str, str | None]:
    """`folder/name` -> SHA-256 where it is known.

    Of a file below `models`, a folder on this machine, it is computed. Else the server is asked for the file's own
    metadata (modelspec), where some publishers wrote a hash of the weights; that is marked `modelspec:`.
    """
    found: dict[str, str | None] = {}
    for folder, name in model_files(graph):
        local = None if models is None else _local(models, folder, name)
        found[f"{folder}/{name}"] = hash_of(local) if local else await _told(client, folder, name)
    return found


def _local(models: Path, folder: str, name: str) -> Path | None:
    """The file, if it is one below models/folder: links may lead elsewhere, names may not."""
    file = models / folder / name
    return file if ".." not in Path(name).parts and not Path(name).is_absolute() and file.is_file() else None


def hash_of(file: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while piece := stream.read(MOST_HASHED):
            digest.update(piece)
    return digest.hexdigest()


async def _told(client: ComfyClient, folder: str, name: str) -> str | None:
    try:
        said: Any = await client.get_json(f"/view_metadata/{quote(folder)}?filename={quote(name)}")
    except ComfyError:
        return None
    written = as_object(said).get("modelspec.hash_sha256")
    match = _SHA.fullmatch(written.lower()) if isinstance(written, str) else None
    return f"modelspec:{match[1]}" if match else None
