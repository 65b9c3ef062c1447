"""Measure the demo model with its LoRA-MoE in a real ComfyUI on scenes it never saw.

    COMFYUI_PATH=... python -m workshop.evaluate [--count 120] [--weights DIR] [--out benchmarks]

Writes demo_model.json, demo_model.md and demo_model.png (source, edit, target) into --out. Everything runs in this
process on the CPU through the host's stock loaders and nodes: the decoded right panel is judged as it is, nothing is
pasted back from the source.
"""

import argparse
import logging
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from demo import scenes
from demo.model_files import WEIGHTS, hashes

from . import report
from .figures import figures
from .host_model import HostModel
from .machine import describe
from .parity import differences

log = logging.getLogger("evaluate")
BATCH = 20
SHUFFLE = 7  # each scene is also given the instruction of the scene this many places on
SCALE = 2


def run(host: HostModel, examples, instructions, noise_mask: bool) -> list[np.ndarray]:
    """Edit every scene, some at once."""
    edits = []
    for at in range(0, len(examples), BATCH):
        sources = torch.stack([torch.from_numpy(e.source) for e in examples[at : at + BATCH]])
        edits += list(host.edit(sources, instructions[at : at + BATCH], seed=at, noise_mask=noise_mask).numpy())
    return edits


def seconds_of_one(host: HostModel, example, repeats: int = 3) -> float:
    """The median time of one edit alone, models loaded."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        host.edit(torch.from_numpy(example.source)[None], [example.instruction], seed=0, noise_mask=False)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def measure(host: HostModel, weights: Path, count: int) -> tuple[dict, list, list]:
    """All figures, the scenes and their edits."""
    examples = scenes.unseen(count)
    wanted = [e.instruction for e in examples]
    start = time.perf_counter()
    decoded = [host.autoencode(torch.from_numpy(e.source), torch.from_numpy(e.target)).numpy() for e in examples]
    log.info("ceiling done")
    edits = run(host, examples, wanted, noise_mask=False)
    log.info("edits done: %s", figures(examples, edits)["all"])
    masked = run(host, examples, wanted, noise_mask=True)
    log.info("edits with noise_mask done: %s", figures(examples, masked)["all"])
    shuffled = run(host, examples, wanted[SHUFFLE:] + wanted[:SHUFFLE], noise_mask=False)
    differs = [i for i in range(count) if wanted[i] != wanted[(i + SHUFFLE) % count]]
    result = {
        "model": figures(examples, edits),
        "model_noise_mask": figures(examples, masked),
        "ceiling": figures(examples, decoded),
        "shuffled_success": round(float(np.mean([examples[i].check(shuffled[i]).success for i in differs])), 4),
        "seconds_per_edit": round(seconds_of_one(host, examples[0]), 3),
        "seconds": round(time.perf_counter() - start, 1),
        "training_and_host_differ_by": differences(host, weights),
        "first_seed": scenes.UNSEEN,
        **{k: host.config[k] for k in ("steps", "sampler", "scheduler", "guidance", "panel")},
        "sha256": hashes(weights),
        "machine": describe("no GPU used"),
        "torch_threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    return result, examples, edits


def table(result: dict) -> str:
    """The figures in Markdown."""
    lines = [
        "# The demo model with its LoRA-MoE on scenes it never saw",
        "",
        f"{result['model']['all']['scenes']} scenes (seeds from {result['first_seed']}), {result['panel']} px panels, "
        f"{result['steps']} steps of {result['sampler']} on the published pipeline's sigmas, guidance "
        f"{result['guidance']:g}, cfg 1, in the real host.",
        "Success: over 90 % of the edited pixels nearer the target than the source, mean absolute error inside the "
        "edit below 0.10 and outside below 0.04. The ceiling is the same check on the target after encoding and "
        "decoding. Nothing is pasted back from the source.",
        "",
    ]
    head = ["edits", "scenes", "success", "with noise_mask", "ceiling", "error outside", "ceiling's error outside"]
    rows = []
    for name, own in result["model"].items():
        masked, ceiling = result["model_noise_mask"][name], result["ceiling"][name]
        shares = [f"{one['success']:.0%}" for one in (own, masked, ceiling)]
        rows.append([name, own["scenes"], *shares, *(f"{one['outside']:.3f}" for one in (own, ceiling))])
    lines += [
        *report.table(head, rows),
        "",
        f"Given another scene's instruction, {result['shuffled_success']:.0%} pass: the text decides.",
        f"{result['seconds_per_edit']:.2f} s an edit (median); all measurements together {result['seconds']:.0f} s on "
        f"{result['machine']}, torch {result['torch']} with {result['torch_threads']} thread(s).",
        "Largest differences between the training's arithmetic and the host's: "
        + ", ".join(f"{k.replace('_', ' ')} {v:.0e}" for k, v in result["training_and_host_differ_by"].items())
        + ".",
        "Figures move with the machine's load and, by a scene or two, with its arithmetic.",
        "",
    ]
    return "\n".join(lines)


def contact_sheet(examples, edits, columns: int = 4) -> Image.Image:
    """Source, edit and target of every scene under its instruction; a failed edit is marked with an x."""
    size = scenes.PANEL * SCALE
    width, height = 3 * size + 16, size + 26
    rows = -(-len(examples) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (example, edit) in enumerate(zip(examples, edits, strict=True)):
        x, y = i % columns * width, i // columns * height
        mark = "" if example.check(edit).success else "x "
        pen.text((x + 2, y + 6), mark + example.instruction, fill="black" if not mark else "red")
        panels = np.concatenate([example.source, edit, example.target], axis=1)
        picture = Image.fromarray((panels * 255).round().astype(np.uint8))
        sheet.paste(picture.resize((3 * size, size), Image.Resampling.NEAREST), (x, y + 22))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=120, help="number of unseen scenes")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "benchmarks")
    args = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    result, examples, edits = measure(HostModel(args.weights), args.weights, args.count)
    report.write(args.out, "demo_model", result, table(result))
    contact_sheet(examples, edits).save(args.out / "demo_model.png", optimize=True)
    log.info("%s", table(result))


if __name__ == "__main__":
    main()
