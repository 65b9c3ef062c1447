"""The shipped workflows as tests change them: by node type and input name."""

import copy
import io
import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "demo" / "weights"
PUBLISHED = {
    "diffusion_models/flux1-fill-dev.safetensors": "icedit_demo_fill.safetensors",
    "text_encoders/clip_l.safetensors": "icedit_demo_clip_l.safetensors",
    "text_encoders/t5xxl_fp16.safetensors": "icedit_demo_t5.safetensors",
    "vae/ae.safetensors": "icedit_demo_vae.safetensors",
}
"""Published file names, and the small files of the same kind."""


@contextmanager
def small_files(server, more=None):
    """Small files under the published names, and `more` of them, taken away again; what is there already stays."""
    wanted = {name: WEIGHTS / file for name, file in PUBLISHED.items()} | (more or {})
    missing = {name: file for name, file in wanted.items() if not (server.base / "models" / name).exists()}
    placed = [server.place_model(name, file) for name, file in missing.items()]
    try:
        yield
    finally:
        for file in placed:
            file.unlink()


def shipped(name: str) -> dict:
    """A workflow in the API form."""
    return json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))


def find(graph: dict, class_type: str) -> str:
    """The id of the one node of that type."""
    (found,) = [number for number, node in graph.items() if node["class_type"] == class_type]
    return found


def changed(graph: dict, class_type: str, **inputs) -> dict:
    """A copy with some inputs of one node set."""
    graph = copy.deepcopy(graph)
    graph[find(graph, class_type)]["inputs"] |= inputs
    return graph


def with_adapter(graph: dict, lora_name: str, **inputs) -> dict:
    """A copy whose model goes through ICEditLoadLoRA before anything else takes it."""
    graph = copy.deepcopy(graph)
    shift = graph[find(graph, "ModelSamplingFlux")]["inputs"]
    graph["lora"] = {
        "class_type": "ICEditLoadLoRA",
        "inputs": {"model": shift["model"], "lora_name": lora_name, "strength": 1.0, "top_k": 0} | inputs,
    }
    shift["model"] = ["lora", 0]
    return graph


async def picture(client, result) -> np.ndarray:
    """The one saved picture of a run, (H, W, C) uint8."""
    (ref,) = [image for image in result.images() if image.type == "output"]
    return np.asarray(Image.open(io.BytesIO(await client.download(ref))))
