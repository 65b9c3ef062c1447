"""The figures of `bench inversion` as JSON and as a page."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

CALLS = {"directedit": 2, "euler": 2, "rf_solver": 4, "flowedit": 2}  # model calls a step, without the reconstruction


def interval(successes: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    share = successes / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return centre - half, centre + half


def mean_interval(values: list[float]) -> tuple[float, float]:
    """95 % of the means of 2000 resamplings."""
    draw = np.random.default_rng(0)
    means = draw.choice(values, (2000, len(values))).mean(1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def summary(rows: list[dict]) -> dict:
    wins = sum(row["success"] for row in rows)
    outside = [row["outside"] for row in rows]
    found = {
        "scenes": len(rows),
        "success": round(wins / len(rows), 4),
        "success_interval": [round(x, 4) for x in interval(wins, len(rows))],
        "outside": round(float(np.mean(outside)), 5),
        "outside_interval": [round(x, 5) for x in mean_interval(outside)],
    }
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
    out.mkdir(parents=True, exist_ok=True)
    (out / "inversion.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (out / "inversion.md").write_text(page(result), encoding="utf-8")


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
        "| method | model calls a step | success | error outside | reconstruction: latent error | against the "
        "autoencoder's picture |",
        "|---|---|---|---|---|---|",
    ]
    for name, own in result["runs"].items():
        low, high = own["success_interval"]
        least, most = own["outside_interval"]
        again = ("-", "-")
        if "reconstruction_latent" in own:
            db = own["reconstruction_psnr"]
            again = (f"{own['reconstruction_latent']:.2g}", "the same" if db == 99 else f"{db:.1f} dB")
        calls = CALLS.get(name.removesuffix(", mask"), "-")
        success = f"{own['success']:.1%} ({low:.1%} to {high:.1%})"
        outside = f"{own['outside']:.4f} ({least:.4f} to {most:.4f})"
        lines.append(f"| {name} | {calls} | {success} | {outside} | {again[0]} | {again[1]} |")
    tasks = list(next(iter(result["tasks"].values())))
    lines += ["", "Success, and error outside, by family:", "", f"| method | {' | '.join(tasks)} |"]
    lines += ["|---" * (len(tasks) + 1) + "|"]
    for name, own in result["tasks"].items():
        cells = [f"{own[task]['success']:.0%} / {own[task]['outside']:.3f}" for task in tasks]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "Scene by scene against plain Euler inversion, with the same mask or none:", ""]
    lines += ["| method | success | error outside |", "|---|---|---|"]
    for name, own in result["against_euler"].items():
        s, o = own["success"], own["outside"]
        lines.append(
            f"| {name} | {s[0]:+.1%} ({s[1]:+.1%} to {s[2]:+.1%}) | {o[0]:+.4f} ({o[1]:+.4f} to {o[2]:+.4f}) |"
        )
    lines += ["", f"Measured on {result['machine']}, torch {result['torch']}.", ""]
    return "\n".join(lines)
