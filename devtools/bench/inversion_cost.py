"""What ICEdit DirectEdit's attention values cost at full size: nothing handed over, captured, injected, replayed.

    python dev.py bench inversion-cost [--rounds 5] [--dtype bfloat16|float32]

One double and one single block of FLUX.1 dev of full width, 512 tokens of text and a picture of 1024 x 1024 px, in the
host's own classes with the pack's own patch; all ways by turns in one process. A step of the whole model is computed
from the two: 19 + 38 blocks of which the published choice, the 38 single ones, hand over values. Writes
inversion_cost.json and inversion_cost.md.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # last: the pack's `nodes` must not hide ComfyUI's

from devtools.bench import moe_timing, x2_blocks, x2_overhead  # noqa: E402
from devtools.bench.x2_blocks import DEPTH, IMAGE, TEXT, WIDTH  # noqa: E402
from icedit_core.inversion.values import Values  # noqa: E402
from workshop import report  # noqa: E402

NAME = "inversion_cost"
CALLS = {  # model calls of a step by what each does with values; DirectEdit's inversion and its target side
    "no values": ("none", "none"),
    "values in memory": ("capture", "inject"),
    "values replayed": ("none", "capture", "inject"),
}
STEPS, INJECTED = 30, 3  # of a whole edit, as in the paper and in the workflow `directedit`
log = logging.getLogger("inversion-cost")


class Block:
    """A block with random weights, with nothing, with capturing and with injecting."""

    def __init__(self, host: ModuleType, kind: str, dtype: torch.dtype, device: torch.device):
        draw = torch.Generator().manual_seed(0)
        self.kind, self.attention = kind, host.attention
        network = x2_blocks.one_block(host, kind, dtype, draw, device)
        self.inner = network.get_submodule(f"{kind}_blocks.0")
        self.text, self.image = (torch.randn(1, n, WIDTH, generator=draw).to(device, dtype) for n in (TEXT, IMAGE))
        self.vec = torch.randn(1, WIDTH, generator=draw).to(device, dtype)
        ids = torch.zeros(1, TEXT + IMAGE, 3, device=device)
        ids[0, TEXT:, 1] = torch.arange(IMAGE, device=device)
        self.pe = network.pe_embedder(ids)
        self.values = Values({(kind, 0)}, "all", 1, "memory", lambda: 2**40)
        hooks = importlib.import_module("icedit_pack.nodes.host.value_hooks")
        self.patch = hooks._flux(self.values)

    def ways(self) -> dict[str, Callable[[], Tensor]]:
        """`capture` before `inject`, which takes what it kept."""
        return {name: partial(self._run, name) for name in ("none", "capture", "inject")}

    def _run(self, way: str) -> Tensor:
        options: dict[str, Any] = {
            "optimized_attention_override": self.attention,
            "block_type": self.kind,
            "block_index": 0,
            "cond_or_uncond": [0],
            "img_slice": [TEXT, TEXT + IMAGE],
        }
        if way != "none":
            options["patches"] = {"attn1_patch": [self.patch]}
            self.values.begin((0, 0), inject=way == "inject")
        image = self.image.clone()  # the blocks write into their inputs
        if self.kind == "double":
            out = self.inner(image, self.text.clone(), self.vec, self.pe, transformer_options=options)[0]
        else:
            joined = torch.cat([self.text, image], dim=1)
            out = self.inner(joined, self.vec, self.pe, transformer_options=options)
        if way != "none":
            self.values.end()
        return out


@torch.no_grad()
def measure(kind: str, dtype: str, rounds: int, device: torch.device) -> dict[str, Any]:
    """Every way once a round, and what one block's values take."""
    block = Block(x2_overhead.host(), kind, getattr(torch, dtype), device)
    ways = block.ways()
    outputs = {name: way() for name, way in ways.items()}
    apart = float((outputs["inject"] - outputs["none"]).norm())
    taken: dict[str, list[moe_timing.Taken]] = {name: [] for name in ways}
    with moe_timing.memory_kept():
        for count in range(rounds):
            for name, way in ways.items():
                taken[name].append(moe_timing.timed(way, device))
            log.info("%s, round %d of %d", kind, count + 1, rounds)
    return {
        "work": {name: round(sorted(one.work for one in rows)[rounds // 2], 3) for name, rows in taken.items()},
        "mib": block.values.most / 2**20,
        "own_values_change": apart,
    }


def whole(blocks: dict[str, dict], way: tuple[str, ...]) -> float:
    """Seconds of work of a step: the single blocks hand over, the double ones never."""
    single, double = blocks["single"]["work"], blocks["double"]["work"]
    return sum(DEPTH["single"] * single[call] + DEPTH["double"] * double["none"] for call in way)


def page(found: dict[str, Any]) -> str:
    blocks = found["blocks"]
    lines = [
        "# What attention values cost DirectEdit at full size",
        "",
        f"One double and one single block of FLUX.1, width {WIDTH}, {found['dtype']}, random weights, {TEXT} tokens of "
        f"text and {IMAGE} of a picture of 1024 x 1024 px, in the host's own classes with the pack's patch, by turns "
        f"in one process; the median of {found['rounds']} rounds, in the processor's seconds.",
        "",
        *report.table(
            ["block", "nothing", "captured", "injected", "values of one call, MiB"],
            (
                [kind, *(f"{own['work'][way]:.2f}" for way in ("none", "capture", "inject")), f"{own['mib']:.1f}"]
                for kind, own in blocks.items()
            ),
        ),
        "",
        f"A step of the whole model, computed from these: {DEPTH['double']} double and {DEPTH['single']} single "
        "blocks, of which the single ones hand over values, as published. A run's own values change nothing: the "
        f"norm of the difference is {max(own['own_values_change'] for own in blocks.values()):g}.",
        "",
        *report.table(
            ["", "model calls", "a step over one without", "a whole edit over one without", "kept, GiB"],
            (
                [name, len(calls), *(f"{ratio:.3f}" for ratio in over_none(blocks, calls)), kept(name, blocks)]
                for name, calls in CALLS.items()
            ),
        ),
        "",
        f"A whole edit: {STEPS} steps, {INJECTED} of them with values. Kept: of these {INJECTED} steps in main memory; "
        "replaying keeps one step's at a time.",
        "",
        f"Measured on {moe_timing.machine_words(found['machine'])}.",
        "",
    ]
    return "\n".join(lines)


def over_none(blocks: dict[str, dict], calls: tuple[str, ...]) -> tuple[float, float]:
    """How many times longer a step takes than one without values, and a whole edit."""
    step = whole(blocks, calls) / whole(blocks, CALLS["no values"])
    return step, (STEPS - INJECTED + INJECTED * step) / STEPS


def kept(name: str, blocks: dict[str, dict]) -> str:
    """GiB of values that the 38 single blocks keep."""
    steps = {"no values": 0, "values in memory": INJECTED, "values replayed": 1}[name]
    return f"{steps * DEPTH['single'] * blocks['single']['mib'] / 2**10:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench inversion-cost", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--out", type=Path, default=report.FOLDER)
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    log.setLevel(logging.INFO)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    blocks = {kind: measure(kind, options.dtype, options.rounds, device) for kind in DEPTH}
    machine = moe_timing.machine(device)
    found = {"dtype": options.dtype, "rounds": options.rounds, "blocks": blocks, "machine": machine}
    report.write(options.out, NAME, found, page(found))
    log.info("%s", page(found))


if __name__ == "__main__":
    main()
