"""A server under a long day's work: many prompts from several clients, cancels and repeats; does it leak or mix up?

    python dev.py bench soak [--prompts 1000] [--clients 3] [--seed 0] [--out benchmarks]

Every prompt is the shipped demo workflow with parameters drawn from a fixed set. The first finished picture of each
set is made alone on a fresh server and is the reference: each later one must be equal to it, pixel for pixel. Every
tenth prompt is cancelled while it waits or runs, and queued again. The server's resident memory is read after every
prompt; its slope over the second half is reported, beside that of a graph of stock nodes alone on a server of its own.
Writes soak.json and soak.md.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import hashlib
import io
import json
import logging
import os
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from demo.model_files import hashes
from devtools.bench.progress import Progress, code
from devtools.server import Host, running_host
from icedit_core.client import ComfyClient, ExecutionInterrupted, Result
from workshop import report
from workshop.machine import describe

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "workflows" / "api" / "icedit_demo.json"
TASKS = ("recolour", "remove", "add", "swap", "background", "style")
SETS = 24
CANCELLED = 0.1
LIMIT = 120.0  # seconds of one prompt
log = logging.getLogger("soak")

Graph = dict[str, dict]


@dataclass
class Record:
    """What happened, as it happened."""

    memory: list[int] = field(default_factory=list)  # bytes after each finished prompt
    wrong: list[int] = field(default_factory=list)  # sets whose picture was another than the reference
    cancelled: int = 0
    finished: int = 0


def sets(seed: int) -> list[Graph]:
    """The demo workflow with other scenes, sizes, steps, samplers and strengths."""
    draw = random.Random(seed)
    shipped = json.loads(DEMO.read_text(encoding="utf-8"))
    graphs = []
    for number in range(SETS):
        graph = copy.deepcopy(shipped)
        by_type = {node["class_type"]: (name, node["inputs"]) for name, node in graph.items()}
        scene, words = by_type["ICEditDemoScene"], by_type["ICEditPrompt"][1]
        scene[1].update(seed=1000 + number, task=TASKS[number % len(TASKS)], size=draw.choice((96, 160, 256)))
        words["instruction"] = [scene[0], 1]
        by_type["ICEditDiptych"][1]["fit"] = draw.choice(("resize", "pad"))
        by_type["KSampler"][1].update(
            seed=number, steps=draw.choice((2, 3, 4)), sampler_name=draw.choice(("euler", "heun"))
        )
        if "ICEditLoadLoRA" in by_type:
            by_type["ICEditLoadLoRA"][1]["strength"] = draw.choice((0.0, 0.5, 1.0))
        graphs.append(graph)
    return graphs


def stock(number: int) -> Graph:
    """A graph of the host's own nodes that decodes and saves a picture."""
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 256, "height": 256, "batch_size": 1, "color": number}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "stock"}},
    }


def resident(host: Host) -> int:
    """Bytes of physical memory that the server holds (Linux)."""
    lines = Path(f"/proc/{host.process.pid}/status").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])


def slope(memory: list[int]) -> float:
    """Bytes a prompt over the second half, by least squares."""
    late = np.array(memory[len(memory) // 2 :], dtype=np.float64)
    return float(np.polyfit(np.arange(len(late)), late, 1)[0])


async def picture(client: ComfyClient, result: Result) -> str:
    """The digest of the one saved picture's pixels."""
    (ref,) = [image for image in result.images() if image.type == "output"]
    pixels = np.asarray(Image.open(io.BytesIO(await client.download(ref))))
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


async def references(host: Host, graphs: list[Graph]) -> list[str]:
    async with ComfyClient(host.url) as client:
        return [await picture(client, await client.run(graph, timeout=LIMIT)) for graph in graphs]


async def work(
    host: Host, graphs: list[Graph], expected: list[str], args: argparse.Namespace, progress: Progress
) -> Record:
    """Finished prompts by several clients at once."""
    record, draw = Record(), random.Random(args.seed)
    waiting = [draw.randrange(len(graphs)) for _ in range(args.prompts)]

    async def one_client() -> None:
        async with ComfyClient(host.url) as client:
            while waiting:
                number = waiting.pop()
                if draw.random() < CANCELLED:
                    record.cancelled += await _cancelled(client, graphs[number], draw.uniform(0.0, 0.4))
                result = await client.run(graphs[number], timeout=LIMIT)
                found = await picture(client, result)
                await client.forget(result.prompt_id)  # the host's history grows with every prompt, whatever it holds
                record.finished += 1
                record.memory.append(resident(host))
                if found != expected[number]:
                    record.wrong.append(number)
                progress.add(
                    f"demo {record.finished}",
                    {"set": number, "bytes": record.memory[-1], "equal": found == expected[number]},
                )

    await asyncio.gather(*(one_client() for _ in range(args.clients)))
    return record


async def _cancelled(client: ComfyClient, graph: Graph, after: float) -> bool:
    """Queue the graph and take it back after some seconds; whether it was in time."""
    run = asyncio.create_task(client.run(graph, timeout=LIMIT))
    await asyncio.sleep(after)
    if run.done():
        return False
    run.cancel()  # the client takes the prompt off the server
    try:
        await run
    except (asyncio.CancelledError, ExecutionInterrupted):
        return True
    return False


async def stock_memory(host: Host, count: int, progress: Progress) -> list[int]:
    memory = []
    async with ComfyClient(host.url) as client:
        for number in range(count):
            result = await client.run(stock(number), timeout=LIMIT)
            await client.forget(result.prompt_id)
            memory.append(resident(host))
            progress.add(f"stock {number}", {"bytes": memory[-1]})
    return memory


def page(result: dict) -> str:
    """The figures in Markdown."""
    ours, alone = result["demo"], result["stock"]
    head = ["", "prompts", "resident memory at the start, half way, at the end", "slope over the second half"]
    return "\n".join(
        [
            "# A server under a long day's work",
            "",
            f"{ours['finished']} prompts of the demo workflow with {SETS} sets of parameters from {result['clients']} "
            f"clients at once, {ours['cancelled']} more cancelled while they waited or ran, in {ours['seconds']:.0f} s "
            f"on {result['machine']}, ComfyUI's own process on the CPU.",
            "",
            *report.table(head, [_row("demo workflow", ours), _row("stock nodes alone, another server", alone)]),
            "",
            f"Pictures that differ from the reference: {len(ours['wrong'])}. Every finished prompt is taken out of "
            "ComfyUI's history, which grows with each.",
            "",
        ]
    )


def _row(name: str, record: dict) -> list[object]:
    start, middle, end = (f"{value / 2**20:.0f}" for value in record["resident"])
    slope_of = f"{record['slope'] / 1024:.1f} KiB a prompt"
    return [name, record["finished"], f"{start}, {middle}, {end} MiB", slope_of]


def _summary(memory: list[int]) -> dict:
    return {
        "finished": len(memory),
        "resident": [memory[0], memory[len(memory) // 2], memory[-1]],
        "slope": round(slope(memory), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    args = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    # Memory over one server's life cannot go on in another run: what a stopped one measured is kept to be read.
    made = {"sha256": hashes(), "code": code(), "options": vars(args) | {"out": ""}, "began": time.ctime()}
    with Progress("soak", 2 * args.prompts, made) as progress:
        measure(args, progress)


def measure(args: argparse.Namespace, progress: Progress) -> None:
    comfyui, graphs = Path(os.environ["COMFYUI_PATH"]), sets(args.seed)
    with running_host(comfyui, ROOT, cpu=True) as host:
        expected = asyncio.run(references(host, graphs))
    with running_host(comfyui, ROOT, cpu=True) as host:
        start = time.monotonic()
        record = asyncio.run(work(host, graphs, expected, args, progress))
        seconds = time.monotonic() - start
    with running_host(comfyui, None, cpu=True) as host:
        alone = asyncio.run(stock_memory(host, args.prompts, progress))
    result = {
        "clients": args.clients,
        "seed": args.seed,
        "demo": {
            **_summary(record.memory),
            "cancelled": record.cancelled,
            "wrong": record.wrong,
            "seconds": round(seconds, 1),
        },
        "stock": _summary(alone),
        "machine": describe(),
    }
    report.write(args.out, "soak", result, page(result))
    log.info("%s", page(result))


if __name__ == "__main__":
    main()
