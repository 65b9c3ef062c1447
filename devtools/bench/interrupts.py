"""Best Of interrupted again and again, beside as many runs to the end: what each leaves behind in the server's memory.

    python dev.py bench interrupts [--runs 100] [--rows interrupted,control,classic,names] [--seed 0] [--out benchmarks]

Every run is the demo workflow with ICEdit Best Of (3 candidates of 4 steps, a judge that answers at once) and a seed of
its own. Each row is a server of its own: `interrupted` has each run interrupted at a random step, `control` none, and
`classic` is interrupted too, but keeps the last run's results alone (ComfyUI's --cache-classic). After each run the
resident memory, the live tensors and Python's objects are counted, with ComfyUI's history emptied, as it grows with
each run of any kind. `names` counts what ComfyUI's own caches keep of 100 prompts of 12 nodes, none of which ended.
Rows that are not asked for stay as interrupts.json has them. Writes interrupts.json and interrupts.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from devtools.bench.soak import resident, slope
from devtools.server import Host, running_host
from icedit_core.client import ComfyClient, ExecutionInterrupted, Graph, Progress
from tests.host.test_best_of import box
from tests.host.test_rank import judge_server, says_two
from workshop import report
from workshop.machine import describe

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 300.0  # seconds of one run
STEPS = 8  # a run has about 10 steps of progress
WARM = 5  # runs before the first that is counted
ROWS = {
    "interrupted": "interrupted at a random step",
    "control": "to the end",
    "classic": "interrupted, with --cache-classic",
}
NAMES = """
import asyncio, json, sys
sys.path.insert(0, sys.argv[1])
sys.argv[1:] = ["--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
from comfy_execution.caching import CacheKeySetInputSignature, HierarchicalCache, RAMPressureCache
from comfy_execution.graph import DynamicPrompt
import nodes

class Same:
    async def get(self, node_id):
        return False

async def kept(kind):
    cache = kind(CacheKeySetInputSignature)
    for seed in range(100):
        inputs = [{"seed": seed, "model": [str(number - 1), 0]} for number in range(12)]
        prompt = {str(number): {"class_type": "KSampler", "inputs": one} for number, one in enumerate(inputs)}
        await cache.set_prompt(DynamicPrompt(prompt), prompt.keys(), Same())
        cache.clean_unused()
        for node_id in prompt:
            await cache.get(node_id)
    return len(getattr(cache, "used_generation", ()))

print(json.dumps([asyncio.run(kept(kind)) for kind in (RAMPressureCache, HierarchicalCache)]))
"""
PROBE = """
import gc
import torch
from aiohttp import web
from server import PromptServer

@PromptServer.instance.routes.get("/probe")
async def probe(_):
    PromptServer.instance.prompt_queue.wipe_history()
    gc.collect()
    things = gc.get_objects()
    tensors = [thing for thing in things if issubclass(type(thing), torch.Tensor)]
    held = sum(tensor.nbytes for tensor in tensors)
    return web.json_response({"tensors": len(tensors), "bytes": held, "objects": len(things)})

NODE_CLASS_MAPPINGS = {}
"""
log = logging.getLogger("interrupts")


async def interrupted(client: ComfyClient, graph: Graph, step: int) -> bool:
    """Run the graph and interrupt it at that step of its progress; whether it was in time."""
    reached, seen = asyncio.Event(), 0

    def count(progress: Progress) -> None:
        nonlocal seen
        seen += progress.node_id.startswith("box") and progress.max > 0
        if seen > step:
            reached.set()

    run = asyncio.create_task(client.run(graph, count, timeout=LIMIT))
    waiting = asyncio.create_task(reached.wait())
    await asyncio.wait({run, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not run.done():
        await client.interrupt()
    try:
        await run
    except ExecutionInterrupted:
        return True
    return False


async def measure(host: Host, runs: int, seed: int, interrupt: bool) -> dict:
    """Bytes resident, and live tensors, after each run."""
    draw, stopped, memory, tensors, held, objects = random.Random(seed), 0, [], [], [], []
    async with judge_server(says_two) as (url, _), ComfyClient(host.url) as client:
        for number in range(runs + WARM):
            graph = box(url, seed=1000 * number)
            step = draw.randrange(STEPS)
            if interrupt and number >= WARM:
                stopped += await interrupted(client, graph, step)
            else:
                await client.run(graph, timeout=LIMIT)
            found = await client.get_json("/probe")
            if number >= WARM:
                memory.append(resident(host))
                tensors.append(found["tensors"])
                held.append(found["bytes"])
                objects.append(found["objects"])
    return {
        "runs": runs,
        "interrupted": stopped,
        "resident": [memory[0], memory[runs // 2], memory[-1]],
        "slope": round(slope(memory), 1),
        "tensors": [tensors[0], tensors[runs // 2], tensors[-1]],
        "tensor_slope": round(slope(tensors), 3),
        "tensor_bytes": [held[0], held[runs // 2], held[-1]],
        "object_slope": round(slope(objects), 1),
    }


def on_a_server(runs: int, seed: int, row: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        pack = Path(folder) / "nodes" / "probe"
        pack.mkdir(parents=True)
        (pack / "__init__.py").write_text(PROBE, encoding="utf-8")
        paths = Path(folder) / "paths.yaml"
        paths.write_text(json.dumps({"probe": {"custom_nodes": str(pack.parent)}}), encoding="utf-8")
        more = ["--extra-model-paths-config", str(paths)] + ["--cache-classic"] * (row == "classic")
        with running_host(Path(os.environ["COMFYUI_PATH"]), ROOT, cpu=True, extra_args=more) as host:
            return asyncio.run(measure(host, runs, seed, interrupt=row != "control"))


def names_kept() -> dict:
    """What ComfyUI's caches keep, by --cache-ram (the default) and --cache-classic."""
    command = [sys.executable, "-c", NAMES, os.environ["COMFYUI_PATH"]]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]
    return dict(zip(("default", "classic"), json.loads(told), strict=True))


def about_names(result: dict) -> list[str]:
    if "names" not in result:
        return []
    kept = result["names"]
    return [
        "No tensor stays. Resident memory wavers by tens of MiB from run to run once runs are interrupted, so its "
        "slope says little. What grows are Python's objects, and they are ComfyUI's: it files results under names "
        "that hold a node's inputs and those of all nodes before it, and its default cache never drops the name of"
        " a node that did not end (`used_generation` and `timestamps` in comfy_execution/caching.py). Of 100 "
        f"prompts of 12 nodes, none of which ended, it keeps {kept['default']:,} names; with `--cache-classic` "
        f"{kept['classic']}. After a run to the end they go with its results, when memory is short.",
        "",
    ]


def page(result: dict) -> str:
    """The figures in Markdown."""
    rows = []
    for name, one in [(words, result[row]) for row, words in ROWS.items() if row in result]:
        start, middle, end = (round(bytes_ / 2**20) for bytes_ in one["resident"])
        first, half, last = one["tensors"]
        rows.append(
            [
                name,
                f"{one['runs']} ({one['interrupted']})",
                f"{start}, {middle}, {end} MiB",
                f"{one['slope'] / 1024:.1f} KiB a run",
                f"{first}, {half}, {last}",
                f"{one['tensor_slope']:.2f} a run",
                one.get("object_slope", "not counted"),
            ]
        )
    head = ["runs", "how many (interrupted)", "resident: first, half way, last", "slope", "live tensors", "slope"]
    return "\n".join(
        [
            "# Best Of, interrupted",
            "",
            f"The demo workflow with ICEdit Best Of, a new seed each time, seed {result['seed']} of the bench, on "
            f"{result['machine']}, ComfyUI on the CPU; each row is a server of its own. Slopes are of the second half, "
            "by least squares.",
            "",
            *report.table([*head, "Python's objects a run"], rows),
            "",
            *about_names(result),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--rows", default=",".join([*ROWS, "names"]))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    args = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    result = report.read(args.out, "interrupts")
    for name in args.rows.split(","):
        if name == "names":
            result[name] = names_kept()
        else:
            result |= {"seed": args.seed, "machine": describe(), name: on_a_server(args.runs, args.seed, name)}
        log.info("%s: %s", name, result[name])
        report.write_figures(args.out, "interrupts", result)
    report.write_page(args.out, "interrupts", page(result))
    log.info("%s", page(result))


if __name__ == "__main__":
    main()
