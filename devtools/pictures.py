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

from .compare import INK, MARGIN, PAPER, before_after, change_shown, fetched
from .server import running_host
from .thumbnails import Run, around, beside, labelled, nearest, outlined, picked

ROOT = Path(__file__).resolve().parents[1]
API = ROOT / "workflows" / "api"
LIMIT = 1800.0  # seconds of a run; a usual one takes a few
TASKS = ("recolour", "remove", "add", "swap", "background", "style")
STYLE = 9  # scene of the thumbnail of a change of style
SIDE = 256  # px of one picture in the grid
SEEDS = 4  # finished edits on the thumbnails of the best of several
FILL, MADE = "made by the demo model; FLUX.1 Fill was not run", "made by the demo model"
THUMBNAILS = {  # template -> what is shown, of `_shown`, and what the picture says of itself
    "icedit_demo": ("default", MADE),
    "icedit_around_mask_demo": ("mask", MADE),
    "icedit_whole_picture_demo": ("style", MADE),
    "icedit_multi_turn_demo": ("turns", "made by the demo model, in three turns"),
    "icedit_early_filter_demo": ("early", MADE),
    "icedit_flux_fill": ("add", FILL),
    "icedit_normal_lora": ("swap", FILL),
    "icedit_training_free": ("remove", FILL),
    "icedit_around_mask": ("mask", FILL),
    "icedit_whole_picture": ("style", FILL),
    "icedit_multi_turn": ("turns", "made by the demo model in three turns; FLUX.1 Fill was not run"),
    "icedit_early_filter": ("early swap", FILL),
    "best_of_any_editor": ("best swap", "made by the demo model; FLUX.1 Kontext was not run"),
    "keep_kontext": ("kept remove", "made by the demo model; FLUX.1 Kontext was not run"),
    "keep_qwen_image_edit": ("kept swap", "made by the demo model; Qwen-Image-Edit was not run"),
    "keep_flux2": ("kept add", "made by the demo model; FLUX.2 was not run"),
    "keep_multi_turn": ("kept turns", "made by the demo model in three turns; Qwen was not run"),
    "icedit_only_changes_demo": ("kept recolour", MADE),
    "icedit_only_changes_best_demo": ("best recolour", MADE),
    "changes_best_of_kontext": ("best add", "made by the demo model; FLUX.1 Kontext was not run"),
    "changes_kontext": ("kept default", "made by the demo model; FLUX.1 Kontext was not run"),
    "changes_qwen_image_edit": ("kept background", "made by the demo model; Qwen-Image-Edit was not run"),
    "directedit_demo": ("captions", MADE),
    "directedit": ("captions", "made by the demo model; FLUX.1 dev was not run"),
    "icedit_text_to_image_demo": ("from noise", MADE),
    "icedit_text_to_image": ("from noise", "made by the demo model; FLUX.1 dev was not run"),
    "x2edit": ("background", "made by the demo model; X2Edit was not run"),
    "x2edit_turbo": ("recolour", "made by the demo model; X2Edit was not run"),
}


def main() -> None:
    with running_host(Path(os.environ["COMFYUI_PATH"]), ROOT, cpu=True) as host:
        make(host.url)


def make(url: str) -> None:
    """Write all pictures, by the server at `url`."""
    runs, cards = asyncio.run(_all(url))
    images = ROOT / "docs" / "images"
    images.mkdir(parents=True, exist_ok=True)
    before_after(*runs["default"][:3]).save(images / "demo.png", optimize=True)
    grid([runs[task] for task in TASKS]).save(images / "demo_families.png", optimize=True)
    for name, (shown, label) in THUMBNAILS.items():
        labelled(cards[shown].copy(), label).save(ROOT / "workflows" / f"{name}.jpg", quality=90)


async def _all(url: str) -> tuple[dict[str, Run], dict[str, Image.Image]]:
    """Every run that is shown, and what the cards show."""
    async with ComfyClient(url) as client:
        runs = {"default": await _edit(client), "turns": await _edit(client, workflow="icedit_multi_turn_demo")}
        runs |= {task: await _edit(client, task) for task in TASKS}
        whole = await _edit(client, "style", scene=STYLE)
        cards = {name: beside(run) for name, run in runs.items()} | {"style": beside(whole)}
        cards |= {f"kept {name}": outlined(run) for name, run in runs.items()}
        boxed = "icedit_around_mask_demo"
        context = _graph(boxed, None)[1]["ICEditDiptych"][1]["context"]
        cards["mask"] = around(await _edit(client, workflow=boxed), context)
        cards["captions"] = beside(await _captioned(client, "directedit_demo"))
        cards["from noise"] = beside(await _captioned(client, "icedit_text_to_image_demo"))
        cards["early"] = await _early(client)
        cards["early swap"] = await _early(client, "swap")
        for task in ("swap", "recolour", "add"):
            cards[f"best {task}"] = await _best(client, task)
        return runs, cards


async def _best(client: ComfyClient, task: str) -> Image.Image:
    """Some seeds of a family's first scene, with the edit picked that is nearest to the scene's exact result."""
    several = [(await _edit(client, task, seed=seed)).after for seed in range(SEEDS)]
    best = nearest(several, await _target(client, task))
    return picked(several, best, several[best])


def _graph(workflow: str, task: str | None, scene: int | None = None) -> tuple[dict, dict[str, tuple[str, dict]]]:
    """A shipped workflow, and its nodes by type; with a task, on that family's scene, with the scene's own words."""
    graph = json.loads((API / f"{workflow}.json").read_text(encoding="utf-8"))
    nodes = {node["class_type"]: (number, node["inputs"]) for number, node in graph.items()}
    if task:
        number, inputs = nodes["ICEditDemoScene"]
        inputs.update(seed=TASKS.index(task) if scene is None else scene, task=task)
        nodes["ICEditPrompt"][1]["instruction"] = [number, 1]
    return graph, nodes


def _preview(link: list) -> dict:
    return {"class_type": "PreviewImage", "inputs": {"images": link}}


async def _edit(
    client: ComfyClient,
    task: str | None = None,
    workflow: str = "icedit_demo",
    scene: int | None = None,
    seed: int | None = None,
) -> Run:
    """The shipped workflow; with a task, on that family's first scene or on `scene`."""
    graph, nodes = _graph(workflow, task, scene)
    if seed is not None:
        nodes["KSampler"][1]["seed"] = seed
    source, restore = nodes["ICEditDemoScene"][0], nodes["ICEditRestore"][0]
    graph["before"] = _preview([source, 0])
    change = f"change {restore}"
    graph |= change_shown(restore)
    if "GrowMask" in nodes:
        graph[f"mask {restore}"]["inputs"]["mask"] = [nodes["GrowMask"][0], 0]
    result = await client.run(graph, timeout=LIMIT)
    words = result.text(source) if task else nodes["ICEditPrompt"][1]["instruction"]
    refs = (result.images("before")[0], next(iter(result.images(nodes["SaveImage"][0]))), result.images(change)[0])
    before, after, mask = [await fetched(client, ref) for ref in refs]
    return Run(before, after, words, mask.convert("L"))


async def _captioned(client: ComfyClient, workflow: str) -> Run:
    """A shipped edit by captions."""
    graph, nodes = _graph(workflow, None)
    graph["before"] = _preview([nodes["ICEditDemoScene"][0], 0])
    result = await client.run(graph, timeout=LIMIT)
    refs = (result.images("before")[0], next(iter(result.images(nodes["SaveImage"][0]))))
    before, after = [await fetched(client, ref) for ref in refs]
    return Run(before, after, nodes["CLIPTextEncode"][1]["text"])


async def _early(client: ComfyClient, task: str | None = None) -> Image.Image:
    """The early filter, with the candidate finished whose preview is nearest to the scene's exact result."""
    graph, nodes = _graph("icedit_early_filter_demo", task)
    (panels, final) = [number for number, node in graph.items() if node["class_type"] == "ICEditRestore"]
    for kind in ("ICEditJudgePerson", "ICEditJudgeServer", "ICEditRank", "PreviewImage"):
        del graph[nodes[kind][0]]
    finish = nodes["ICEditFinish"][1]
    del finish["ranking"]
    early = {number: node for number, node in graph.items() if number not in (final, nodes["SaveImage"][0])}
    result = await client.run(early | {"previews": _preview([panels, 0])}, timeout=LIMIT)
    previews = [await fetched(client, ref) for ref in result.images("previews")]
    finish["index"] = nearest(previews, await _target(client, task))
    result = await client.run(graph, timeout=LIMIT)
    after = await fetched(client, next(iter(result.images(nodes["SaveImage"][0]))))
    return picked(previews, finish["index"], after)


async def _target(client: ComfyClient, task: str | None) -> Image.Image:
    """The exact result of the scene of `_early`, or of a family's first scene."""
    graph, nodes = _graph("icedit_early_filter_demo", task)
    number = nodes["ICEditDemoScene"][0]
    result = await client.run({number: graph[number], "target": _preview([number, 2])}, timeout=LIMIT)
    return await fetched(client, result.images("target")[0])


def grid(pairs: list[Run], columns: int = 2) -> Image.Image:
    """Before and after of every pair under its instruction."""
    font = ImageFont.load_default(18)
    width, height = 2 * SIDE + 3 * MARGIN, SIDE + 3 * MARGIN + 18
    rows = -(-len(pairs) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height), PAPER)
    pen = ImageDraw.Draw(sheet)
    for index, (before, after, instruction, _) in enumerate(pairs):
        left, top = index % columns * width + MARGIN, index // columns * height + MARGIN
        pen.text((left, top), instruction, INK, font)
        for place, picture in enumerate((before, after)):
            sheet.paste(picture.resize((SIDE, SIDE)), (left + place * (SIDE + MARGIN // 2), top + 18 + MARGIN))
    return sheet


if __name__ == "__main__":
    main()
