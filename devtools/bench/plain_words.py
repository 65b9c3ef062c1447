"""How often the demo carries out plain sentences on drawings that were made without a look at its scenes and wordings.

    python dev.py bench plain-words [--lot lot1 ...] [--out benchmarks]

A lot is a folder of `workshop/plain_words`: drawings of another drawing library, and `lot.json`, a list of
{"picture", "family", "words", "points": [[x, y, [r, g, b]], ...], "changed": [x0, y0, x1, y1] or "all"}. An edit passes
when every point has its colour and the rest of the picture is as it was. The shipped workflow runs as it is.
"""

import argparse
import asyncio
import io
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
from PIL import Image

from demo.model_files import hashes
from icedit_core.cli import fill
from icedit_core.client import ComfyClient
from workshop import report

from ..server import running_host

ROOT = Path(__file__).resolve().parents[2]
LOTS = ROOT / "workshop" / "plain_words"
WORKFLOW = ROOT / "workflows" / "api" / "icedit_demo.json"
TOLERANCE = 0.25  # of a channel's range, between a point and the colour that is expected there
MAX_OUTSIDE = 0.04  # mean absolute error outside of what may change
LIMIT = 300.0  # seconds an edit
Z90 = 1.645


def passes(item: dict, source: np.ndarray, edited: np.ndarray) -> tuple[bool, float, float]:
    """Was it carried out? Also the largest error of a point and the mean one outside; pictures (H, W, 3) in [0, 1]."""
    off = max(float(np.abs(edited[y, x] - np.array(rgb) / 255).max()) for x, y, rgb in item["points"])
    outside = 0.0
    if item["changed"] != "all":
        kept = np.ones(source.shape[:2], bool)
        left, top, right, bottom = item["changed"]
        kept[max(0, top) : bottom, max(0, left) : right] = False
        outside = float(np.abs(edited - source)[kept].mean()) if kept.any() else 0.0
    return off <= TOLERANCE and outside < MAX_OUTSIDE, round(off, 3), round(outside, 4)


def interval(passed: int, count: int) -> tuple[float, float]:
    """The 90 % interval of a share (Wilson)."""
    low, high = report.wilson(passed, count, Z90)
    return round(low, 3), round(high, 3)


async def edit(client: ComfyClient, folder: Path, item: dict, seed: int) -> np.ndarray:
    """The edited picture, (H, W, 3) in [0, 1]."""
    graph = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    ref = await client.upload_image((folder / item["picture"]).read_bytes(), f"{folder.name}_{item['picture']}")
    fill.fill_in(graph, image=ref.widget, instruction=item["words"], seed=seed)
    result = await client.run(graph, timeout=LIMIT)
    saved = [ref for i, node in graph.items() if node["class_type"] == "SaveImage" for ref in result.images(i)]
    return opened(await client.download(saved[0]))


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float32) / 255


async def measure(url: str, folder: Path, seed: int) -> tuple[list[dict], list[np.ndarray]]:
    """A record of every sentence of a lot, and the rows of its sheet."""
    records, pictures = [], []
    async with ComfyClient(url) as client:
        for item in json.loads((folder / "lot.json").read_text(encoding="utf-8")):
            source, edited = opened((folder / item["picture"]).read_bytes()), await edit(client, folder, item, seed)
            passed, off, outside = passes(item, source, edited)
            records.append(
                {"words": item["words"], "family": item["family"], "passed": passed, "off": off, "outside": outside}
            )
            pictures.append(np.concatenate([source, edited], axis=1))
            print(f"{len(records):3} {'yes' if passed else 'NO '} {off:.2f} {outside:.3f} {item['words']}", flush=True)
    return records, pictures


def summary(records: list[dict]) -> dict:
    """Passed and asked: in all with the 90 % interval, and by family."""
    passed = sum(r["passed"] for r in records)
    families = sorted({r["family"] for r in records})
    return {
        "passed": passed,
        "count": len(records),
        "share": round(passed / len(records), 3),
        "interval": interval(passed, len(records)),
        "families": {
            f: [sum(r["passed"] for r in records if r["family"] == f), sum(r["family"] == f for r in records)]
            for f in families
        },
    }


def page(result: dict) -> str:
    """The figures in Markdown."""
    lines = [
        "# The demo on plain words and other people's drawings",
        "",
        "Sentences and 256 px drawings made without a look at the demo's scenes and wordings, with another drawing "
        "library; the shipped workflow as it is. Passed: every checked point within "
        f"{TOLERANCE:g} of its colour, and a mean error below {MAX_OUTSIDE:g} outside of what may change. A lot that "
        "was not asked yet is not in the table: the second is asked once, when weights are final.",
        "",
    ]
    rows = []
    for name, lot in result["lots"].items():
        s = lot["summary"]
        families = ", ".join(f"{family} {a}/{b}" for family, (a, b) in s["families"].items())
        low, high = s["interval"]
        shares = f"{s['share']:.0%}", f"{low:.0%} to {high:.0%}"
        rows.append([name, f"{s['passed']} of {s['count']}", *shares, families])
    lines += report.table(["lot", "passed", "share", "90 % interval", "by family"], rows)
    lines += ["", "Not carried out:", ""]
    for name, lot in result["lots"].items():
        lines += [f'- {name}: "{r["words"]}" ({r["family"]})' for r in lot["records"] if not r["passed"]]
    lines += ["", f"On {result['machine']}. The weights' hashes stand in plain_words.json.", ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lot", nargs="+", default=sorted(p.name for p in LOTS.iterdir() if p.is_dir()))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path, help="also write a picture of every source and edit to this folder")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    args = parser.parse_args()
    start, kept = time.monotonic(), report.read(args.out, "plain_words")
    lots = kept.get("lots", {}) if kept.get("sha256") == hashes() else {}
    with running_host(Path(os.environ["COMFYUI_PATH"]), ROOT, cpu=True) as host:
        for name in args.lot:
            records, pictures = asyncio.run(measure(host.url, LOTS / name, args.seed))
            lots[name] = {"summary": summary(records), "records": records}
            print(name, json.dumps(lots[name]["summary"]), flush=True)
            if args.sheet:
                args.sheet.mkdir(parents=True, exist_ok=True)
                rows = [np.concatenate(pictures[i : i + 4], axis=1) for i in range(0, len(pictures) // 4 * 4, 4)]
                sheet = (np.concatenate(rows) * 255).astype(np.uint8)
                Image.fromarray(sheet).reduce(2).save(args.sheet / f"{name}.png")
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores, no GPU used"
    result = {"sha256": hashes(), "seed": args.seed, "machine": machine, "lots": lots}
    result["seconds"] = round(time.monotonic() - start)
    report.write(args.out, "plain_words", result, page(result))


if __name__ == "__main__":
    main()
