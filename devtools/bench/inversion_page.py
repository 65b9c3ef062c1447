"""The figures of `bench inversion` as JSON and as a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workshop import report

from . import sampled_scenes
from .sampled_scenes import mean_interval

CALLS = {"directedit": 2, "euler": 2, "rf_solver": 4, "flowedit": 2}  # model calls a step, without the reconstruction


def summary(rows: list[dict]) -> dict:
    found = sampled_scenes.summary(rows)
    if "latent" in rows[0]:
        found["reconstruction_latent"] = float(np.mean([row["latent"] for row in rows]))
        found["reconstruction_psnr"] = round(float(np.mean([row["psnr"] for row in rows])), 2)
        found["seconds"] = round(float(np.mean([row["seconds"] for row in rows])), 3)
    return found


def paired(first: list[dict], second: list[dict]) -> dict:
    """How `first` differs from `second` scene by scene, with 95 % intervals."""
    success = [float(a["success"]) - float(b["success"]) for a, b in zip(first, second, strict=True)]
    outside = [a["outside"] - b["outside"] for a, b in zip(first, second, strict=True)]
    return {
        "success": [round(float(np.mean(success)), 4), *(round(x, 4) for x in mean_interval(success))],
        "outside": [round(float(np.mean(outside)), 5), *(round(x, 5) for x in mean_interval(outside))],
    }


def write(facts: dict, tasks: list[str], rows: dict[str, list[dict]], out: Path) -> None:
    """Write inversion.json and inversion.md."""
    names = list(dict.fromkeys(tasks))
    result = facts | {
        "runs": {name: summary(found) for name, found in rows.items()},
        "tasks": {
            name: {task: summary([r for r, t in zip(found, tasks, strict=True) if t == task]) for task in names}
            for name, found in rows.items()
        },
        "against_euler": {
            name: paired(found, rows["euler, mask" if name.endswith("mask") else "euler"])
            for name, found in rows.items()
            if name not in ("ceiling", "noise") and not name.startswith("euler")
        },
    }
    report.write(out, "inversion", result, page(result))


def page(result: dict) -> str:
    lines = [
        "# Editing by inversion with the demo's base model",
        "",
        f"{result['scenes']} scenes that training never saw (seeds from {result['first_seed']}), 96 px, by the "
        "captions of source and target alone; the demo's base with everything masked, no adapter. "
        f"{result['steps']} steps, each method's published schedule (FlowEdit leaves out the first 4 of 28 of them), "
        "no values injected. The mask holds the truly edited pixels and "
        f"{result['grown']} px around them, the same for all. Success: over 90 % of the edited pixels nearer the "
        "target than the source, mean absolute error inside the edit below 0.10 and outside below 0.04. In brackets "
        "95 % intervals (Wilson; bootstrap over scenes).",
        "",
        "The base follows no guidance, so guidance is not part of this comparison.",
        "",
    ]
    head = ["method", "model calls a step", "success", "error outside", "reconstruction: latent error"]
    cells = []
    for name, own in result["runs"].items():
        again = ("-", "-")
        if "reconstruction_latent" in own:
            db = own["reconstruction_psnr"]
            again = (f"{own['reconstruction_latent']:.2g}", "the same" if db == 99 else f"{db:.1f} dB")
        calls = CALLS.get(name.removesuffix(", mask"), "-")
        cells.append([name, calls, *sampled_scenes.success_and_outside(own), *again])
    lines += report.table([*head, "against the autoencoder's picture"], cells)
    tasks = list(next(iter(result["tasks"].values())))
    lines += ["", "Success, and error outside, by family:", ""]
    lines += report.table(
        ["method", *tasks],
        (
            [name, *(f"{own[task]['success']:.0%} / {own[task]['outside']:.3f}" for task in tasks)]
            for name, own in result["tasks"].items()
        ),
    )
    lines += ["", "Scene by scene against plain Euler inversion, with the same mask or none:", ""]
    lines += report.table(
        ["method", "success", "error outside"],
        (
            [
                name,
                report.between(own["success"][0], own["success"][1:], "+.1%"),
                report.between(own["outside"][0], own["outside"][1:], "+.4f"),
            ]
            for name, own in result["against_euler"].items()
        ),
    )
    lines += ["", f"Measured on {result['machine']}, torch {result['torch']}.", ""]
    return "\n".join(lines)
