"""What the routed layers cost: base, merged LoRA, LoRA unmerged by peft, ours, and a loop over the experts.

    python dev.py bench moe [--quick] [--part step|layers] [--seconds 450] [--rounds 7] [--anew] [--page-only]

Two parts: the Linears of one double and one single FLUX block, over widths, tokens and dtypes; and a whole step of a
FLUX Fill of full width with few blocks in the real host. All ways run by turns in one process. A run goes on where
the last one stopped; --seconds keeps it from beginning another case. It uses the GPU if there is one.
Writes moe.json and moe.md.
"""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # last: the pack's `nodes` must not hide ComfyUI's

from devtools.bench import moe_layers, moe_page, moe_step, moe_timing  # noqa: E402
from devtools.bench.moe_layers import Case  # noqa: E402
from devtools.bench.progress import Progress  # noqa: E402
from workshop import report  # noqa: E402

DTYPES = (torch.float32, torch.bfloat16)
WIDTHS, TOKENS = (1024, 1536, 3072), (512, 1280, 2560, 8192)
STEPS = {  # stored, computed; on a CPU the host computes in float32 unless it is told otherwise
    "float32": (torch.float32, torch.float32),
    "bfloat16": (torch.bfloat16, torch.float32),
    "bfloat16, computed": (torch.bfloat16, torch.bfloat16),
}
LONG = 1e12  # operations; a case that takes that many gets the fewest rounds


def cases(quick: bool) -> list[Case]:
    """The cheap ones first, so that a run that is stopped has many."""
    if quick:
        return [Case(1024, 512, dtype) for dtype in DTYPES]
    every = [Case(width, tokens, dtype) for width in WIDTHS for tokens in TOKENS for dtype in DTYPES]
    return sorted(every, key=lambda case: case.flops * (1 if case.dtype == torch.float32 else 0.2))


@torch.no_grad()
def measure_layers(case: Case, rounds: int, device: torch.device) -> dict:
    start = time.perf_counter()
    blocks = moe_layers.BlockSet(case, device)
    ways = blocks.ways()
    with moe_timing.memory_kept():
        seconds = moe_timing.side_by_side(ways, rounds, device)
    peaks = {name: moe_timing.peak_mib(way, device) for name, way in ways.items()}
    rows = {
        name: moe_timing.summary(taken, seconds["base"]) | {"peak_mib": peaks[name]} for name, taken in seconds.items()
    }
    return {
        "width": case.width,
        "tokens": case.tokens,
        "dtype": case.key.rsplit("/", 1)[1],
        "rounds": rounds,
        "adapter_mib": round(blocks.adapter_mib(), 1),
        "load_ms": blocks.load_ms,
        "ways": rows,
        "machine": moe_timing.machine(device),
        "took_seconds": round(time.perf_counter() - start, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench moe", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the smallest case alone and a narrow step; nothing kept")
    parser.add_argument("--part", choices=("step", "layers"), help="this part alone")
    parser.add_argument("--seconds", type=float, default=450)
    parser.add_argument("--rounds", type=int, default=7, help="of a step and of a small case; large ones have 3")
    parser.add_argument("--anew", action="store_true", help="forget the figures of earlier runs")
    parser.add_argument("--page-only", action="store_true", help="write the page from the figures at hand")
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("moe").setLevel(logging.INFO)
    start = time.monotonic()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kept = {} if options.anew or options.quick else report.read(report.FOLDER, "moe")
    results = {"layers": {}, "step": {}} | kept

    def wanted(part: str, key: str) -> bool:
        chosen = options.part in (None, part) and key not in results[part]
        return chosen and not options.page_only and time.monotonic() - start < options.seconds

    def keep(part: str, key: str, figures: dict) -> None:
        results[part][key] = figures
        if not options.quick:
            report.write_figures(report.FOLDER, "moe", results)
        progress.add(f"{part} {key}", None, note=f"{part} {key}: {moe_page.line(figures)}")
        gc.collect()

    ahead = [key for key in STEPS if wanted("step", key)]
    ahead += [case.key for case in cases(options.quick) if wanted("layers", case.key)]
    with Progress("moe", len(ahead)) as progress:
        for key, (stored, computed) in STEPS.items():
            if wanted("step", key):
                keep("step", key, moe_step.measure(512 if options.quick else 3072, stored, computed, options.rounds))
        for case in cases(options.quick):
            if wanted("layers", case.key):
                keep("layers", case.key, measure_layers(case, 3 if case.flops > LONG else options.rounds, device))
    if not options.quick:
        missing = [f"step {key}" for key in STEPS if key not in results["step"]]
        missing += [case.key for case in cases(False) if case.key not in results["layers"]]
        report.write_page(report.FOLDER, "moe", moe_page.page(results, missing))


if __name__ == "__main__":
    main()
