"""What benches that sample unseen demo scenes in batches share: the runs over all batches, and what they find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch

from demo import scenes
from demo.model_files import hashes
from demo.scenes import Example
from workshop.machine import describe
from workshop.report import between, wilson

from .progress import Progress

Run = Callable[[Sequence[Example]], list[dict]]  # one row for each scene


def batches(count: int, size: int) -> list[slice]:
    """Slices of at most `size` scenes."""
    return [slice(at, min(at + size, count)) for at in range(0, count, size)]


def rows(progress: Progress, examples: Sequence[Example], size: int, runs: Mapping[str, Run]) -> dict[str, list[dict]]:
    """The rows of each run over all scenes, batch by batch; `progress` keeps every batch of every run."""
    found: dict[str, list[dict]] = {name: [] for name in runs}
    for part in batches(len(examples), size):
        for name, run in runs.items():
            found[name] += progress.get(f"{name} {part.start}-{part.stop}", partial(run, examples[part]))
    return found


def facts(count: int, steps: int, **more: object) -> dict:
    """What a page says about scenes, weights and the machine."""
    return {
        "scenes": count,
        "first_seed": scenes.UNSEEN,
        "steps": steps,
        **more,
        "sha256": hashes(),
        "machine": describe("no GPU used"),
        "torch": torch.__version__,
    }


def verdicts(examples: Sequence[Example], edits: np.ndarray) -> list[dict]:
    """The scenes' own check of the edits, (B, H, W, 3) in [0, 1]."""
    found = [example.check(edit) for example, edit in zip(examples, edits, strict=True)]
    return [{"success": v.success, "inside": v.inside, "outside": v.outside} for v in found]


def psnr(a: np.ndarray, b: np.ndarray) -> list[float]:
    """Peak signal to noise in dB of each of (B, H, W, 3), 99 where they are equal."""
    squares = np.square(a - b).reshape(len(a), -1).mean(1)
    return [99.0 if s == 0 else float(-10 * np.log10(s)) for s in squares]


def summary(own: Sequence[dict]) -> dict:
    """Success and error outside of one run's rows, with 95 % intervals (Wilson; bootstrap over scenes)."""
    wins = sum(row["success"] for row in own)
    outside = [row["outside"] for row in own]
    return {
        "scenes": len(own),
        "success": round(wins / len(own), 4),
        "success_interval": [round(x, 4) for x in wilson(wins, len(own))],
        "outside": round(float(np.mean(outside)), 5),
        "outside_interval": [round(x, 5) for x in mean_interval(outside)],
    }


def success_and_outside(found: Mapping) -> tuple[str, str]:
    """The two cells of a `summary` in a page's table."""
    success = between(found["success"], found["success_interval"], ".1%")
    return success, between(found["outside"], found["outside_interval"], ".4f")


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % of the means of 2000 resamplings."""
    draw = np.random.default_rng(0)
    means = draw.choice(values, (2000, len(values))).mean(1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))
