"""Make the pictures of the help pages with the shipped demo workflows.

    python dev.py bench help-pictures      # writes web/docs/images/*.png

They show what the nodes make of their default scenes, as it comes; none was picked.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from icedit_core import seeing
from icedit_core.client import ComfyClient

from .compare import PAPER, fetched
from .server import running_host

ROOT = Path(__file__).resolve().parents[1]
API = ROOT / "workflows" / "api"
SIDE = 192  # px of one picture
GAP = 8
AFTER_SAMPLING = {"ICEditRank", "ICEditJudgePerson", "ICEditFinish", "PreviewImage", "SaveImage"}


def main() -> None:
    with running_host(Path(os.environ["COMFYUI_PATH"]), ROOT, cpu=True) as host:
        seen = asyncio.run(_run(host.url))
    folder = ROOT / "web" / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {
        "diptych": shaded(seen["diptych"][0], seen["mask"][0]),
        "scenes": row([*seen["scene"], *seen["target"]]),
        "restore": row([*seen["scene"], *seen["result"], *seen["change"]]),
        "candidates": row(seen["candidates"], columns=3),
        "experts": seen["experts"][0],
    }
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png", optimize=True)


async def _run(url: str) -> dict[str, list[Image.Image]]:
    async with ComfyClient(url) as client:
        return await _edit(client) | await _candidates(client) | await _experts(client)


async def _edit(client: ComfyClient) -> dict[str, list[Image.Image]]:
    graph, of = _workflow("icedit_demo")
    scene, diptych, restore = (of[name] for name in ("ICEditDemoScene", "ICEditDiptych", "ICEditRestore"))
    graph[of["ICEditPrompt"]]["inputs"]["instruction"] = [scene, 1]
    wanted = {"scene": (scene, 0), "target": (scene, 2), "diptych": (diptych, 0), "result": (restore, 0)}
    for name, (node, output) in {"mask": (diptych, 1), "change": (restore, 1)}.items():
        graph[f"{name}_image"] = {"class_type": "MaskToImage", "inputs": {"mask": [node, output]}}
        wanted[name] = (f"{name}_image", 0)
    return await _seen(client, graph, wanted)


async def _candidates(client: ComfyClient) -> dict[str, list[Image.Image]]:
    """The previews of the early filter, which a judge would be shown."""
    graph, of = _workflow("icedit_early_filter_demo")
    previews = graph[of["ICEditRank"]]["inputs"]["candidates"]
    kept = {number: node for number, node in graph.items() if node["class_type"] not in AFTER_SAMPLING}
    return await _seen(client, kept, {"candidates": (previews[0], previews[1])})


async def _experts(client: ComfyClient) -> dict[str, list[Image.Image]]:
    """Which expert takes what of the finished edit."""
    graph, of = _workflow("icedit_demo")
    sampler, condition = of["KSampler"], of["InpaintModelConditioning"]
    inputs = {key: graph[sampler]["inputs"][key] for key in ("model", "positive", "seed")}
    inputs |= {"latent": [sampler, 0], "vae": graph[condition]["inputs"]["vae"]}
    graph["map"] = {"class_type": "ICEditExpertMap", "inputs": inputs | {"sigma": 0.7, "blocks": "all", "number": 0}}
    return await _seen(client, graph, {"experts": ("map", 0)})


def _workflow(name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """A shipped API workflow, and the number of a node of each class."""
    graph = json.loads((API / f"{name}.json").read_text(encoding="utf-8"))
    return graph, {node["class_type"]: number for number, node in graph.items()}


async def _seen(
    client: ComfyClient, graph: dict[str, Any], wanted: Mapping[str, tuple[str, int]]
) -> dict[str, list[Image.Image]]:
    previews = {
        f"see_{name}": {"class_type": "PreviewImage", "inputs": {"images": [node, output]}}
        for name, (node, output) in wanted.items()
    }
    result = await client.run(graph | previews, timeout=600)
    return {name: [await fetched(client, ref) for ref in result.images(f"see_{name}")] for name in wanted}


def shaded(diptych: Image.Image, mask: Image.Image) -> Image.Image:
    """The diptych as the node shows it, striped where it will be repainted."""
    from torchvision.transforms.functional import to_pil_image, to_tensor

    picture = seeing.shaded(to_tensor(diptych.convert("RGB")).movedim(0, -1)[None], to_tensor(mask.convert("L")))
    return to_pil_image(picture[0].movedim(-1, 0)).resize((2 * SIDE, SIDE), Image.Resampling.LANCZOS)


def row(pictures: list[Image.Image], columns: int | None = None) -> Image.Image:
    """Pictures beside one another, in rows of `columns`."""
    columns = columns or len(pictures)
    rows = -(-len(pictures) // columns)
    step = SIDE + GAP
    sheet = Image.new("RGB", (columns * step - GAP, rows * step - GAP), PAPER)
    for index, picture in enumerate(pictures):
        scaled = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        sheet.paste(scaled, (index % columns * step, index // columns * step))
    return sheet


if __name__ == "__main__":
    main()
