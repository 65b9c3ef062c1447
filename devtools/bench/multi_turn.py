"""Five edits of one picture, one after the other: what wears out, with and without restoring unedited pixels.

    python dev.py bench multi-turn [--chains 6] [--out benchmarks]

Each chain is a scene of the demo and five edits of it in words, drawn from a fixed seed. The workflow is the shipped
one with five turns instead of three, on a real ComfyUI; without restoring, every turn hands on the whole right panel
(`keep_unedited` off). Pixels are compared with the source as 8-bit values, as they are saved.
Writes multi_turn.json, multi_turn.md and multi_turn.png.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from demo import scenes
from demo.model_files import hashes
from demo.scenes.draw import Scene
from demo.scenes.edits import Edit, Rejected, draw_edit, draw_scene
from devtools.api_form import api_graph
from devtools.bench import multi_turn_page
from devtools.bench.progress import Progress, code, packed, unpacked
from devtools.compare import change_shown, fetched
from devtools.server import running_host
from devtools.workflows import demo_turns
from icedit_core.client import ComfyClient
from workshop import report
from workshop.machine import describe

ROOT = Path(__file__).resolve().parents[2]
TURNS = 5
SIZE = 256  # px
TASKS = ("recolour", "remove", "add", "swap")  # what leaves most of the picture as it was
FIRST = 2**40 + 2_000_000  # seeds of chains: neither training nor other figures use them
CLEAR = 0.008  # share of the picture that an edit changes at least
MODES = {"restored": "auto", "whole panel": "off"}
LIMIT = 600.0  # seconds for a chain


@dataclass(frozen=True)
class Chain:
    """A picture and what is asked for turn by turn; truth[t] is the exact picture after turn t."""

    words: tuple[str, ...]
    truth: tuple[np.ndarray, ...]


def chain(seed: int) -> Chain:
    """A scene of three shapes on a plain background, and edits that leave it two at least."""
    rng = np.random.default_rng(seed)
    scene = draw_scene(rng)
    while len(scene.shapes) < 3 or scene.background.pattern != "plain":
        scene = draw_scene(rng)
    edits: list[Edit] = []
    while len(edits) < TURNS:
        edit = _next_edit(rng, scene)
        if edit and len(edit.after.shapes) > 1:
            edits.append(edit)
            scene = edit.after
    words = tuple(edit.instruction(rng) for edit in edits)
    return Chain(words, tuple(edit.source(SIZE) for edit in edits) + (edits[-1].target(SIZE),))


def _next_edit(rng: np.random.Generator, scene: Scene) -> Edit | None:
    """An edit of a kind that the demo model was trained on and that one can see, or None for this draw."""
    try:
        edit = draw_edit(rng, scene, TASKS[int(rng.integers(len(TASKS)))])
    except Rejected:
        return None
    clear = scenes.changed_pixels(edit.source(96), edit.target(96)).mean() >= CLEAR
    return edit if clear and not edit.is_held_out else None


def levels(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) in [0, 1] as 8-bit values."""
    return np.round(picture * 255).astype(np.uint8)


async def edited(client: ComfyClient, info: dict, one: Chain, keep: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The picture and the mask of change after every turn, 8-bit."""
    buffer = io.BytesIO()
    Image.fromarray(levels(one.truth[0])).save(buffer, "PNG")
    ref = await client.upload_image(buffer.getvalue(), "multi_turn.png", overwrite=True)
    graph = api_graph(demo_turns(one.words), info)
    (scene,) = [number for number, node in graph.items() if node["class_type"] == "ICEditDemoScene"]
    graph[scene] = {"class_type": "LoadImage", "inputs": {"image": ref.widget}}
    turns = [number for number, node in graph.items() if node["class_type"] == "ICEditRestore"]
    for number in turns:
        graph[number]["inputs"]["keep_unedited"] = keep
        graph[f"image {number}"] = {"class_type": "PreviewImage", "inputs": {"images": [number, 0]}}
        graph |= change_shown(number)
    result = await client.run(graph, timeout=LIMIT)

    async def picture(name: str) -> np.ndarray:
        return np.asarray(await fetched(client, result.images(name)[0]))

    return [await picture(f"image {n}") for n in turns], [await picture(f"change {n}") for n in turns]


def rows(one: Chain, pictures: list[np.ndarray], changes: list[np.ndarray]) -> list[dict]:
    """What is left of the source after each turn, where no edit up to then was asked for, and where none was made."""
    source = levels(one.truth[0])
    asked = np.zeros(source.shape[:2], bool)
    made = np.zeros(source.shape[:2], bool)
    found = []
    for turn, (picture, change) in enumerate(zip(pictures, changes, strict=True)):
        before, after = one.truth[turn], one.truth[turn + 1]
        asked |= (levels(before) != levels(after)).any(-1)
        made |= (change > 0).any(-1)
        apart = np.abs(picture.astype(int) - source)
        found.append(
            {
                "turn": turn + 1,
                "carried_out": bool(scenes.judge(before, after, picture.astype(np.float32) / 255).success),
                "untouched": round(float((~made).mean()), 4),
                "untouched_wrong": int((apart.any(-1) & ~made).sum()),
                "error": round(float(apart[~asked].mean()), 3),
                "equal": round(float((~apart.any(-1))[~asked].mean()), 4),
            }
        )
    return found


async def measure(url: str, count: int, progress: Progress) -> None:
    """Both ways of every chain that is not measured yet; the pictures of the first are kept with it."""
    async with ComfyClient(url) as client:
        info = await client.object_info()
        for number in range(count):
            one = chain(FIRST + number)
            for mode, keep in MODES.items():
                if (key := f"{number} {mode}") not in progress.results:
                    pictures, changes = await edited(client, info, one, keep)
                    shown = [packed(picture) for picture in (levels(one.truth[0]), *pictures)] if number == 0 else []
                    progress.add(key, {"rows": rows(one, pictures, changes), "shown": shown})


def records(results: dict, count: int) -> list[dict]:
    """A record of every chain."""
    return [
        {"chain": number, "words": chain(FIRST + number).words}
        | {mode: results[f"{number} {mode}"]["rows"] for mode in MODES}
        for number in range(count)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chains", type=int, default=6)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    args = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("multi-turn").setLevel(logging.INFO)
    made = {"sha256": hashes(), "code": code()}
    with Progress("multi-turn", len(MODES) * args.chains, made) as progress:
        start = time.monotonic()
        with running_host(Path(os.environ["COMFYUI_PATH"]), ROOT, cpu=True) as host:
            asyncio.run(measure(host.url, args.chains, progress))
        write(progress.results, args, time.monotonic() - start)


def write(results: dict, args: argparse.Namespace, seconds: float) -> None:
    config = json.loads((ROOT / "demo" / "weights" / "config.json").read_text(encoding="utf-8"))
    chains = records(results, args.chains)
    shown = {mode: [unpacked(text) for text in results[f"0 {mode}"]["shown"]] for mode in MODES}
    result = {
        "sha256": hashes(),
        "panel": config["panel"],
        "size": SIZE,
        "machine": describe("no GPU used"),
        "seconds": round(seconds),
        "means": {mode: multi_turn_page.means([record[mode] for record in chains]) for mode in MODES},
        "chains": chains,
    }
    report.write(args.out, "multi_turn", result, multi_turn_page.page(result))
    multi_turn_page.strip(shown, chain(FIRST).words).save(args.out / "multi_turn.png", optimize=True)


if __name__ == "__main__":
    main()
