"""How much of what an edit must not touch is kept, on edits that the demo model really painted.

    python dev.py bench keep [--count 300] [--name now] [--pack CHECKOUT] [--out benchmarks]

Unseen demo scenes of 256 px go through the shipped workflow at the nodes' defaults. Counted over pixels whose source
and target are equal in 8 bits: *kept* ones equal the source in the result, *visibly wrong* ones are off by more than
0.1 (in per cent of the picture). *Recall* is the share of pixels that differ by more than 0.06 and are not the source's
any more. Every edit counts, also a failed one. --pack measures another checkout of the pack, under another --name.
"""

import argparse
import asyncio
import io
import json
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from demo import scenes
from demo.model_files import hashes
from icedit_core.cli import fill
from icedit_core.client import ComfyClient

from ..server import running_host

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


async def measure(url: str, workflow: dict, count: int) -> list[dict]:
    """A record of every edit."""
    records, start = [], time.monotonic()
    async with ComfyClient(url) as client:
        for i in range(count):
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
            records.append({"task": example.task, **counted(source, target, picture)})
            if (i + 1) % 20 == 0 or i + 1 == count:
                print(f"keep: {i + 1} of {count} edits, {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return records


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
        "| pack | edits | " + " | ".join(f"{task}: kept / recall / wrong" for task in scenes.TASKS) + " |",
        "|---|---|" + "---|" * len(scenes.TASKS),
    ]
    for name, one in result["packs"].items():
        cells = [f"{m['kept']:.1%} / {m['recall']:.1%} / {m['wrong']:.2f}" for m in one["means"].values()]
        lines.append(f"| {name} | {one['count']} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"On {result['machine']}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--name", default="now")
    parser.add_argument("--pack", type=Path, default=ROOT)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    args = parser.parse_args()
    workflow = json.loads((args.pack / "workflows" / "api" / "icedit_demo.json").read_text(encoding="utf-8"))
    start = time.monotonic()
    with running_host(Path(os.environ["COMFYUI_PATH"]), args.pack.resolve(), cpu=True) as host:
        records = asyncio.run(measure(host.url, workflow, args.count))
    path = args.out / "keep.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    one = {"count": args.count, "means": means(records), "seconds": round(time.monotonic() - start), "edits": records}
    result = {
        "sha256": hashes(),
        "first_seed": scenes.UNSEEN + FIRST,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores, no GPU used",
        "packs": kept.get("packs", {}) | {args.name: one},
    }
    args.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(page(result), encoding="utf-8")
    print(json.dumps(one["means"]))


if __name__ == "__main__":
    main()
