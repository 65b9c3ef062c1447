"""What X2Edit's experts cost at full size: base, ours, and the loop over gathered tokens of its own code.

    python dev.py bench x2-overhead [--rounds 7] [--seconds 480] [--dtype bfloat16|float32]
                                    [--part double|single|align] [--page-only]

One double and one single block of FLUX.1 dev of full width, 8,704 tokens, in the host's own classes; all ways by turns
in one process, in another order each round. What 19 + 38 blocks take is computed from the two. AlignNet at full size
is timed beside it. A run goes on where the last one stopped; --seconds keeps it from beginning another part. It uses
the GPU if there is one. Writes x2_overhead.json and x2_overhead.md.
"""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # last: the pack's `nodes` must not hide ComfyUI's

from devtools.bench import moe_model, moe_timing, x2_blocks, x2_page  # noqa: E402
from devtools.bench.progress import Progress  # noqa: E402
from icedit_core.x2edit import align  # noqa: E402
from workshop import report  # noqa: E402

ROUNDS = {"bfloat16": 7, "float32": 3}  # float32 takes several times as long
STATES = (1, 29, 512, 3584)  # what AlignNet reads of an instruction


def host() -> ModuleType:
    """The host's FLUX and the attention that it takes on a GPU; on a CPU it would cut the sequence in pieces."""
    made = moe_model.host_modules()
    import comfy.ops
    from comfy.ldm.modules.attention import attention_pytorch

    made.ops = comfy.ops.disable_weight_init
    made.attention = lambda _usual, *args, **options: attention_pytorch(*args, **options)
    return made


@torch.no_grad()
def measure_block(kind: str, dtype: str, rounds: int, device: torch.device, say: Callable[[str], None]) -> dict:
    """Memory of every way first, which warms it up too, then the rounds."""
    block = x2_blocks.Block(host(), kind, getattr(torch, dtype), device)
    ways = block.ways()
    peaks, outputs = {}, {}
    for name, way in ways.items():
        block.renew()
        peaks[name] = moe_timing.peak_mib(lambda name=name, way=way: outputs.update({name: way().clone()}), device)
        say(f"{kind} {dtype}: memory of {name}")
    taken: dict[str, list[moe_timing.Taken]] = {name: [] for name in ways}
    with moe_timing.memory_kept():
        for count in range(rounds):
            for name in moe_timing.shuffled(ways, count):
                block.renew()
                taken[name].append(moe_timing.timed(ways[name], device))
            last = ", ".join(f"{name} {row[-1].clock:.2f} s" for name, row in taken.items())
            say(f"{kind} {dtype}, round {count + 1} of {rounds}: {last}")
    added = outputs["ours"].float() - outputs["base"].float()
    apart = outputs["ours"].float() - outputs["published"].float()
    return {
        "seconds": {name: [list(one) for one in rows] for name, rows in taken.items()},
        "peak_mib": peaks,
        "apart": float(apart.norm() / added.norm()),
        "machine": moe_timing.machine(device),
    }


@torch.no_grad()
def measure_align(dtype: str, rounds: int, device: torch.device, say: Callable[[str], None]) -> dict:
    """AlignNet of an instruction's hidden states, with random weights."""
    draw = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in align.AlignNet().state_dict().items()}
    weights = {key: torch.randn(shape, generator=draw) / max(shape[-1], 1) ** 0.5 for key, shape in shapes.items()}
    net = align.build(weights, getattr(torch, dtype)).to(device)
    hidden = torch.randn(STATES, generator=draw).to(device, getattr(torch, dtype))
    peak = moe_timing.peak_mib(lambda: net(hidden), device)
    taken = [moe_timing.timed(lambda: net(hidden), device) for _ in range(rounds)]
    say(f"align {dtype}: {taken[-1].clock:.2f} s")
    return {
        "seconds": {"align": [list(one) for one in taken]},
        "weights_mib": round(sum(p.numel() * p.element_size() for p in net.parameters()) / 2**20, 1),
        "states_mib": round(hidden.numel() * hidden.element_size() / 2**20, 1),
        "peak_mib": {"align": peak},
        "machine": moe_timing.machine(device),
    }


def wanted(part: str, options: argparse.Namespace) -> bool:
    kind, dtype = part.split("/")
    return options.part in (None, kind) and options.dtype in (None, dtype)


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench x2-overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, help="by default 7 in bfloat16, 3 in float32")
    parser.add_argument("--seconds", type=float, default=480)
    parser.add_argument("--dtype", choices=tuple(ROUNDS), help="this one alone")
    parser.add_argument("--part", choices=(*x2_blocks.DEPTH, "align"), help="this one alone")
    parser.add_argument("--page-only", action="store_true", help="write the page from the figures at hand")
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    log = logging.getLogger("x2-overhead")
    log.setLevel(logging.INFO)
    start = time.monotonic()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    results = report.read(report.FOLDER, "x2_overhead")
    parts = [f"{kind}/{dtype}" for dtype in ROUNDS for kind in (*x2_blocks.DEPTH, "align")]
    ahead = [part for part in parts if part not in results and wanted(part, options)]
    with Progress("x2-overhead", len(ahead)) as progress:
        for part in ahead:
            if options.page_only or time.monotonic() - start > options.seconds:
                break
            kind, dtype = part.split("/")
            rounds = options.rounds or ROUNDS[dtype]
            if kind == "align":
                results[part] = measure_align(dtype, rounds, device, log.info)
            else:
                results[part] = measure_block(kind, dtype, rounds, device, log.info)
            report.write_figures(report.FOLDER, "x2_overhead", results)
            progress.add(part, None, note=part)
            gc.collect()
    missing = [part for part in parts if part not in results]
    report.write_page(report.FOLDER, "x2_overhead", x2_page.page(results, missing))


if __name__ == "__main__":
    main()
