"""Edits a picture on a real ComfyUI with the shipped demo workflow, and writes a before/after picture."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from demo import world
from icedit_core.cli import fill
from icedit_core.cli.fill import Graph
from icedit_core.cli.progress import Bar
from icedit_core.client import ComfyClient, ComfyError, Progress, Result

from ..compare import before_after
from ..server import HostError, running_host

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / "workflows" / "api" / "icedit_demo.json"
RUN_LIMIT = 1800.0  # seconds; a usual run takes a few
BEFORE = "before"  # id of the node that we add to see the picture as the workflow reads it


@dataclass(frozen=True)
class Outcome:
    """What a run gave: both pictures as files' bytes, the instruction carried out, the model calls it took."""

    before: bytes
    after: bytes
    instruction: str
    calls: int


def main(argv: list[str]) -> int:
    options = _parser().parse_args(argv)
    if options.image is not None and not options.image.is_file():
        print(f"demo: got {options.image}, but there is no such file.", file=sys.stderr)
        return 2
    if options.image is not None and options.instruction is None:
        print(
            f"demo: got {options.image} without words, but the demo's own words are about its own picture. "
            'Add --instruction, e.g. --instruction "make the circle red".',
            file=sys.stderr,
        )
        return 2
    try:
        warnings = _warnings(options.image, options.instruction)
    except OSError as problem:
        print(f"demo: {options.image}: {problem}, but a picture is needed, e.g. a PNG or JPEG file.", file=sys.stderr)
        return 2
    print(*warnings, "starting ComfyUI ...", sep="\n", flush=True)
    started = time.monotonic()
    try:
        with running_host(Path(os.environ["COMFYUI_PATH"]), ROOT) as host:
            ready = time.monotonic()
            outcome = asyncio.run(_edit(host.url, options))
    except (HostError, ComfyError, ValueError) as problem:
        print(f"demo: {problem}", file=sys.stderr)
        return 1
    done = time.monotonic()
    edited, comparison = _write(options.out, outcome)
    print(f"edited image:   {edited}")
    print(f"before / after: {comparison}")
    print(f"instruction:    {outcome.instruction}")
    print(f"model calls:    {outcome.calls}")
    print(f"seconds:        {done - ready:.1f}, after {ready - started:.1f} for ComfyUI to start")
    print("".join(f"{warning}\n" for warning in warnings), end="")
    return 0


def _warnings(picture: Path | None, instruction: str | None) -> list[str]:
    """What of the user's wishes is outside of what the demo model knows."""
    found = [world.of_words(instruction)] if instruction else []
    if picture:
        found.append(world.of_picture(np.asarray(Image.open(picture).convert("RGB"), np.float32) / 255))
    return [warning for warning in found if warning]


def fill_in(graph: Graph, *, image: str | None = None, instruction: str | None = None, seed: int | None = None) -> str:
    """Put the user's wishes into the workflow, and a look at the picture before the edit.

    Args:
        graph: the workflow in the API format, changed in place; what is None stays as shipped.
        image: a LoadImage value.
    Returns:
        the instruction that the graph now carries.
    """
    fill.fill_in(graph, image=image, instruction=instruction, seed=seed)
    link = _only(graph, "ICEditDiptych")["image"]
    graph[BEFORE] = {"class_type": "PreviewImage", "inputs": {"images": list(link)}}
    return str(_only(graph, "ICEditPrompt")["instruction"])


def is_sampler(node: Mapping[str, Any]) -> bool:
    """Whether a node's steps are model calls."""
    return "Sampler" in node["class_type"]


async def _edit(url: str, options: argparse.Namespace) -> Outcome:
    graph: Graph = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    async with ComfyClient(url) as client:
        image = (await client.upload_image(options.image)).widget if options.image else None
        instruction = fill_in(graph, image=image, instruction=options.instruction, seed=options.seed)
        calls: dict[str, int] = {}

        def count(step: Progress) -> None:
            if step.node_id in graph and is_sampler(graph[step.node_id]):
                calls[step.node_id] = step.value  # not one message a call: the server skips some
            bar.show(step)

        with Bar(sys.stderr) as bar:
            result = await client.run(graph, count, timeout=RUN_LIMIT)
        before = await client.download(result.images(BEFORE)[0])
        after = await client.download(_saved(graph, result))
    return Outcome(before, after, instruction, sum(calls.values()))


def _saved(graph: Graph, result: Result) -> Any:
    """The first image of the workflow's SaveImage node."""
    images = [ref for i, node in graph.items() if node["class_type"] == "SaveImage" for ref in result.images(i)]
    if not images:
        raise ValueError("the demo workflow saved no image, but one SaveImage node must. Look at ComfyUI's log.")
    return images[0]


def _only(graph: Graph, class_type: str) -> dict[str, Any]:
    found = [node["inputs"] for node in graph.values() if node["class_type"] == class_type]
    if len(found) != 1:
        raise ValueError(f"the demo workflow has {len(found)} {class_type} nodes, but this command needs exactly one.")
    return found[0]


def _write(folder: Path, outcome: Outcome) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    edited, comparison = (folder / "edited.png").resolve(), (folder / "before_after.png").resolve()
    edited.write_bytes(outcome.after)
    before_after(_opened(outcome.before), _opened(outcome.after), outcome.instruction).save(comparison)
    return edited, comparison


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py demo", description=__doc__)
    parser.add_argument(
        "--image", type=Path, metavar="FILE", help="default: a synthetic scene; the demo model knows shapes"
    )
    parser.add_argument("--instruction", metavar="TEXT", help="what to change, in English")
    parser.add_argument("--seed", type=int, metavar="N", help="of the sampler's noise")
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help="default: ./out")
    return parser
