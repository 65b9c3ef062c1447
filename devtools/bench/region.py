"""What computing only what changes costs and is worth: blocks of full width side by side, and the demo's edits.

    python dev.py bench region [--part blocks|demo] [--size NAME] [--scenes 600] [--rounds 3] [--seconds 1500]
                               [--curve] [--way NAME] [--fit SCENES] [--page-only]

Blocks: one double and one single block of FLUX.1, float32; what 19 + 38 blocks and 28 steps take is computed from
them. Demo: every way on the same unseen scenes with the same seeds. A run that was stopped goes on where it was;
--seconds ends it early. Writes region.json and region.md.

--curve adds other thresholds and core's EasyCache, also to scenes that were measured before; a part of the scenes is
enough. --way measures a way of the curve alone, such as --way "EasyCache, 0.1".

--fit prints the gammas of RegionE's velocities instead, of the demo's LoRA-MoE in 28 steps, as ICEdit Only What Changes
takes them.
"""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import time
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # last: the pack's `nodes` must not hide ComfyUI's

from demo.model_files import hashes  # noqa: E402
from devtools.bench import moe_timing, region_blocks, region_demo, region_page, x2_overhead  # noqa: E402
from devtools.bench.progress import Progress  # noqa: E402
from workshop import report  # noqa: E402
from workshop.machine import describe  # noqa: E402

log = logging.getLogger("region")


@torch.no_grad()
def measure_block(kind: str, size: str, rounds: int, device: torch.device) -> dict[str, Any]:
    """Every way once a round."""
    block = region_blocks.Block(x2_overhead.host(), kind, region_blocks.SIZES[size], device)
    taken: dict[str, list[list[float]]] = {}
    block.warm()
    for count in range(rounds):
        for name, way in block.ways().items():
            one = moe_timing.timed(way, device)
            taken.setdefault(name, []).append([one.clock, one.work])
            log.info("%s, %s, round %d: %s %.1f s of work", size, kind, count + 1, name, one.work)
    machine = moe_timing.machine(device)
    return {"seconds": taken, "kept_mib": round(block.hooks.kept.bytes / 2**20, 1), "machine": machine}


def blocks(results: dict[str, Any], sizes: list[str], rounds: int, ends: float) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for size in sizes:
        for kind in region_blocks.DEPTH:
            if f"{size}/{kind}" not in results["blocks"] and time.monotonic() < ends:
                results["blocks"][f"{size}/{kind}"] = measure_block(kind, size, rounds, device)
                write(results, "blocks")
                gc.collect()


def demo(results: dict[str, Any], count: int, ends: float, ways: list[str]) -> None:
    """Scene after scene, what is missing of each; the families come in turn, so that a part of them is a fair part."""
    if results["demo"].get("sha256") != hashes():
        results["demo"] = {"sha256": hashes()}  # figures of other weights are none of these
    kept = results["demo"].setdefault("scenes", {})
    missing = {index: [way for way in ways if way not in kept.get(str(index), {})] for index in range(count)}
    missing = {index: names for index, names in missing.items() if names}
    if not missing:
        return
    made = region_demo.Demo(ways)
    with Progress("region", len(missing)) as progress:
        for index, names in missing.items():
            if time.monotonic() > ends:
                break
            kept[str(index)] = kept.get(str(index), {}) | made.measure(index, names)
            progress.add(str(index), None)
            results["demo"]["machine"] = describe("no GPU used")
            write(results, "demo")


def fit(count: int) -> str:
    """Gammas of the demo's velocities over `count` scenes."""
    made = region_demo.Demo([region_demo.STOCK])
    return " ".join(f"{gamma:.4f}" for gamma in region_demo.fitted(made, count))


def kept_so_far() -> dict[str, Any]:
    return {"blocks": {}, "demo": {}} | report.read(report.FOLDER, "region")


def write(results: dict[str, Any], part: str) -> None:
    """Keep one part; another process may measure the other one."""
    results = kept_so_far() | {part: results[part]}
    report.write_figures(report.FOLDER, "region", results)


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench region", description=__doc__)
    parser.add_argument("--part", choices=("blocks", "demo"), help="this one alone")
    parser.add_argument("--size", choices=tuple(region_blocks.SIZES), action="append", help="of the blocks")
    parser.add_argument("--scenes", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1500)
    parser.add_argument("--fit", type=int, metavar="SCENES", help="write gammas from that many scenes, nothing else")
    parser.add_argument("--curve", action="store_true", help="other thresholds and EasyCache too")
    every = tuple(region_demo.WAYS | region_demo.CURVE)
    parser.add_argument("--way", choices=every, action="append", help="of the demo: these, and all tokens")
    parser.add_argument("--page-only", action="store_true", help="write the page from the figures at hand")
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    log.setLevel(logging.INFO)
    if options.fit:
        log.info("%s", fit(options.fit))
        return
    ends = time.monotonic() + options.seconds
    results = kept_so_far()
    if not options.page_only:
        if options.part != "demo":
            blocks(results, options.size or list(region_blocks.SIZES), options.rounds, ends)
        if options.part != "blocks":
            ways = [region_demo.STOCK, *options.way] if options.way else list(region_demo.WAYS)
            ways += region_demo.CURVE if options.curve else ()
            demo(results, options.scenes, ends, list(dict.fromkeys(ways)))
    report.write_page(report.FOLDER, "region", region_page.page(kept_so_far()))


if __name__ == "__main__":
    main()
