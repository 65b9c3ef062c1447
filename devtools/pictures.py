"""Make the pictures of the README and docs/ and the workflows' thumbnails with the shipped demo workflow.

    python dev.py bench pictures      # writes docs/images/*.png and workflows/*.jpg

The grid shows the first scene of each family of edits, as they come: none was picked or left out.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from icedit_core.client import ComfyClient

from .compare import INK, MARGIN, PAPER, before_after, fetched
from .server import running_host

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "workflows" / "api" / "icedit_demo.json"
TURNS = ROOT / "workflows" / "api" / "icedit_multi_turn_demo.json"
TASKS = ("recolour", "remove", "add", "swap", "background", "style")
STYLE = 9  # scene of the thumbnail of a change of style
SIDE = 256  # px of one picture in the grid
THUMBNAILS = {
    "icedit_demo": "made by the demo model",
    "icedit_around_mask_demo": "made by the demo model",
    "icedit_whole_picture_demo": "made by the demo model",
    "icedit_flux_fill": "made by the demo model; FLUX.1 Fill was not run",
    "icedit_normal_lora": "made by the demo model; FLUX.1 Fill was not run",
    "icedit_training_free": "made by the demo model; FLUX.1 Fill was not run",
    "icedit_around_mask": "made by the demo model; FLUX.1 Fill was not run",
    "icedit_whole_picture": "made by the demo model; FLUX.1 Fill was not run",
    "icedit_multi_turn_demo": "made by the demo model, in three turns",
    "icedit_multi_turn": "made by the demo model in three turns; FLUX.1 Fill was not run",
    "icedit_early_filter_demo": "made by the demo model",
    "icedit_early_filter": "made by the demo model; FLUX.1 Fill was not run",
    "best_of_any_editor": "made by the demo model; FLUX.1 Kontext was not run",
    "keep_kontext": "made by the demo model; FLUX.1 Kontext was not run",
    "keep_qwen_image_edit": "made by the demo model; Qwen-Image-Edit was not run",
    "keep_flux2": "made by the demo model; FLUX.2 was not run",
    "icedit_only_changes_demo": "made by the demo model",
    "changes_kontext": "made by the demo model; FLUX.1 Kontext was not run",
    "changes_qwen_image_edit": "made by the demo model; Qwen-Image-Edit was not run",
    "x2edit": "made by the demo model; X2Edit was not run",
    "x2edit_turbo": "made by the demo model; X2Edit was not run",
    "keep_multi_turn": "made by the demo model in three turns; Qwen was not run",
}

Pair = tuple[Image.Image, Image.Image, str]


def main() -> None:
    with running_host(Path(os.environ["COMFYUI_PATH"]), ROOT, cpu=True) as host:
        default, turns, style, families = asyncio.run(_edits(host.url))
    images = ROOT / "docs" / "images"
    images.mkdir(parents=True, exist_ok=True)
    before_after(*default).save(images / "demo.png", optimize=True)
    grid(families).save(images / "demo_families.png", optimize=True)
    for name, label in THUMBNAILS.items():
        pair = turns if "multi_turn" in name else style if "whole_picture" in name else default
        thumbnail(pair, label).save(ROOT / "workflows" / f"{name}.jpg", quality=90)


async def _edits(url: str) -> tuple[Pair, Pair, Pair, list[Pair]]:
    """The shipped edit, three turns, a change of style, and the first scene of every family."""
    async with ComfyClient(url) as client:
        default, turns = await _edit(client, None), await _edit(client, None, TURNS)
        families = [await _edit(client, task) for task in TASKS]
        return default, turns, await _edit(client, "style", seed=STYLE), families


async def _edit(client: ComfyClient, task: str | None, workflow: Path = DEMO, seed: int | None = None) -> Pair:
    """The shipped workflow; with a task, on that family's first scene or that of `seed`, with its own instruction."""
    graph = json.loads(workflow.read_text(encoding="utf-8"))
    by_type = {node["class_type"]: (number, node["inputs"]) for number, node in graph.items()}
    scene, prompt = by_type["ICEditDemoScene"], by_type["ICEditPrompt"]
    if task:
        scene[1].update(seed=TASKS.index(task) if seed is None else seed, task=task)
        prompt[1]["instruction"] = [scene[0], 1]
    graph["before"] = {"class_type": "PreviewImage", "inputs": {"images": [scene[0], 0]}}
    result = await client.run(graph, timeout=600)
    instruction = result.text(scene[0]) if task else prompt[1]["instruction"]
    after = next(ref for ref in result.images(by_type["SaveImage"][0]))
    return await fetched(client, result.images("before")[0]), await fetched(client, after), instruction


def grid(pairs: list[Pair], columns: int = 2) -> Image.Image:
    """Before and after of every pair under its instruction."""
    font = ImageFont.load_default(18)
    width, height = 2 * SIDE + 3 * MARGIN, SIDE + 3 * MARGIN + 18
    rows = -(-len(pairs) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height), PAPER)
    pen = ImageDraw.Draw(sheet)
    for index, (before, after, instruction) in enumerate(pairs):
        left, top = index % columns * width + MARGIN, index // columns * height + MARGIN
        pen.text((left, top), instruction, INK, font)
        for place, picture in enumerate((before, after)):
            sheet.paste(picture.resize((SIDE, SIDE)), (left + place * (SIDE + MARGIN // 2), top + 18 + MARGIN))
    return sheet


def thumbnail(pair: Pair, label: str) -> Image.Image:
    """Before | after with a label, 512 px wide."""
    picture = Image.new("RGB", (512, 288), PAPER)
    for place, half in enumerate(pair[:2]):
        picture.paste(half.resize((256, 256)), (256 * place, 0))
    ImageDraw.Draw(picture).text((8, 263), label, INK, ImageFont.load_default(16))
    return picture


if __name__ == "__main__":
    main()
