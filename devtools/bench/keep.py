"""How much of what an edit must not touch is kept, on edits that the demo model really painted.

    python dev.py bench keep [--count 300] [--name now] [--pack CHECKOUT] [--out benchmarks]

Unseen demo scenes of 256 px go through the shipped workflow at the nodes' defaults. Counted over pixels whose source
and target are equal in 8 bits: *kept* ones equal the source in the result, *visibly wrong* ones are off by more than
0.1 (in per cent of the picture). *Recall* is the share of pixels that differ by more than 0.06 and are not the source's
any more. Every edit counts, also a failed one. --pack measures another checkout of the pack, under another --name.
A run that is stopped goes on where it was.
"""

import argparse
import asyncio
import io
import json
import logging
import os
from pathlib import Path

import numpy as np
from PIL import Image

from demo import scenes
from demo.model_files import hashes
from icedit_core.cli import fill
from icedit_core.client import ComfyClient
from workshop import report
from workshop.machine import describe

from ..server import running_host
from .progress import Progress, code

ROOT = Path(__file__).resolve().parents[2]
SIZE = 256  # px
FIRST = 50_000  # of the unseen scenes
CHANGED, WRONG = 0.06, 0.1
LIMIT = 300.0  # seconds an edit


def levels(picture: np.ndarray) -> np.ndarray:
    return np.round(picture * 255).astype(np.uint8)


def counted(source: np.ndarray, target: np.ndarray, result: np.ndarray) -> dict[str, float]:
    """The three shares of one edit; pictures (H, W, 3) of 8 bits."""
    equal = (source == target).all(-1)
    differs = np.abs(source.astype(int) - target).max(-1) > CHANGED * 255
    kept = (result == source).all(-1)
    off = np.abs(result.astype(int) - target).max(-1) > WRONG * 255
    return {
        "kept": float(kept[equal].mean()) if equal.any() else 1.0,
        "recall": float((~kept)[differs].mean()) if differs.any() else 1.0,
        "wrong": 100 * float((equal & off).mean()),
    }


async def measure(url: str, workflow: dict, count: int, progress: Progress) -> None:
    """Add a record of every edit that is not kept from an earlier run."""
    async with ComfyClient(url) as client:
        for i in range(count):
            if str(i) not in progress.results:
                progress.add(str(i), await measured(client, workflow, i))


async def measured(client: ComfyClient, workflow: dict, i: int) -> dict:
    """Sample one edit and count what it kept."""
    split = scenes.SPLITS[i // len(scenes.TASKS) % len(scenes.SPLITS)]
    example = scenes.make(scenes.UNSEEN + FIRST + i, SIZE, scenes.TASKS[i % len(scenes.TASKS)], split)
    source, target, graph = levels(example.source), levels(example.target), json.loads(json.dumps(workflow))
    buffer = io.BytesIO()
    Image.fromarray(source).save(buffer, "PNG")
    ref = await client.upload_image(buffer.getvalue(), "keep.png", overwrite=True)
    fill.fill_in(graph, image=ref.widget, instruction=example.instruction, seed=i)
    result = await client.run(graph, timeout=LIMIT)
    saved = [ref for n, node in graph.items() if node["class_type"] == "SaveImage" for ref in result.images(n)]
    picture = np.asarray(Image.open(io.BytesIO(await client.download(saved[0]))).convert("RGB"))
    return {"task": example.task, **counted(source, target, picture)}


def means(records: list[dict]) -> dict[str, dict[str, float]]:
    """The means of each family."""
    return {
        task: {
            name: round(float(np.mean([r[name] for r in records if r["task"] == task])), 4)
            for name in ("kept", "recall", "wrong")
        }
        for task in scenes.TASKS
    }


def page(result: dict) -> str:
    """The figures in Markdown."""
    lines = [
        "# What an edit must not touch",
        "",
        f"Unseen demo scenes of {SIZE} px through the shipped workflow at the nodes' defaults. Of the pixels whose "
        f"source and target are equal in 8 bits: kept as the source's, and visibly wrong (off by more than {WRONG:g}, "
        f"in per cent of the picture). Recall: of the pixels that differ by more than {CHANGED:g}, those that are not "
        "the source's any more. Every edit counts, also a failed one.",
        "",
    ]
    rows = []
    for name, one in result["packs"].items():
        cells = [f"{m['kept']:.1%} / {m['recall']:.1%} / {m['wrong']:.2f}" for m in one["means"].values()]
        rows.append([name, one["count"], *cells])
    lines += report.table(["pack", "edits", *(f"{task}: kept / recall / wrong" for task in scenes.TASKS)], rows)
    measured_on = [f"{name} on {one['machine']}" for name, one in result["packs"].items()]
    return "\n".join([*lines, "", f"Measured: {'; '.join(measured_on)}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--name", default="now")
    parser.add_argument("--pack", type=Path, default=ROOT)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    workflow = json.loads((args.pack / "workflows" / "api" / "icedit_demo.json").read_text(encoding="utf-8"))
    made = {"code": code(args.pack), "weights": hashes(), "first": FIRST, "size": SIZE}
    with Progress("keep", args.count, made) as progress:
        with running_host(Path(os.environ["COMFYUI_PATH"]), args.pack.resolve(), cpu=True) as host:
            asyncio.run(measure(host.url, workflow, args.count, progress))
        write(args.out, args.name, [progress.results[str(i)] for i in range(args.count)])


def write(out: Path, name: str, records: list[dict]) -> None:
    """Write keep.json and keep.md, with the figures of other packs that are there."""
    kept = report.read(out, "keep")
    one = {"count": len(records), "machine": describe("no GPU used"), "means": means(records), "edits": records}
    result = {
        "sha256": hashes(),
        "first_seed": scenes.UNSEEN + FIRST,
        "packs": kept.get("packs", {}) | {name: one},
    }
    report.write(out, "keep", result, page(result))
    print(json.dumps(one["means"]))


if __name__ == "__main__":
    main()
