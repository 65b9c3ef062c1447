"""What a budget is worth: success against model calls and judge's looks, from the recorded table of the early filter.

    python dev.py bench filter-budget [--out benchmarks]

Nothing is sampled. The judge's score of a preview is the scene's measure plus Gaussian noise, as much as makes it right
in a share p of the pairs of a scene. Seeds come in random orders; all strategies see the same orders and noise.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from icedit_core.candidates import steps_taken
from workshop.machine import describe

ROOT = Path(__file__).resolve().parents[2]
RIGHT = (1.0, 0.9, 0.76, 0.62)
EARLY = 2  # of 12 steps: the recorded stage nearest to the published 10 of 50
MOST, PUBLISHED = 6, (50, 10)  # candidates; n and m
GOOD = 0.5  # of the check's limit: a preview whose score says so is good enough
DRAWS = 200
NOISIEST = 100.0

_normal = np.vectorize(NormalDist().cdf)


class Outcome(NamedTuple):
    """Per draw and scene, (draws, scenes): did the finished picture pass; candidates sampled; looks of the judge."""

    passed: np.ndarray
    sampled: np.ndarray
    looks: np.ndarray


def noise_of(distances: np.ndarray, right: float) -> float:
    """Standard deviation of a score with which a judge orders a share `right` of the scenes' pairs as they are.

    Args:
        distances: (scenes, seeds), what the judge should see; equal pairs do not count.
    """
    one, two = np.triu_indices(distances.shape[1], 1)
    gaps = np.abs(distances[:, one] - distances[:, two]).ravel()
    gaps = np.quantile(gaps[gaps > 0], np.linspace(0, 1, 2001))
    low, high = 0.0, NOISIEST
    for _ in range(60 if right < 1 else 0):
        middle = (low + high) / 2
        low, high = (middle, high) if _normal(gaps / (middle * 2**0.5)).mean() > right else (low, middle)
    return low


def draw(distances: np.ndarray, passes: np.ndarray, right: float, draws: int, seed: int = 0):
    """Scores (lower is better) and outcomes of all seeds in random orders, (draws, scenes, seeds) each."""
    rng = np.random.default_rng(seed)
    shape = (draws, *distances.shape)
    order = rng.random(shape).argsort(axis=2)
    scores = distances + rng.normal(0, noise_of(distances, right) or 0.0, shape)
    taken = np.take_along_axis
    return taken(scores, order, 2), taken(np.broadcast_to(passes, shape), order, 2)


def knockout(scores: np.ndarray, passes: np.ndarray, most: int) -> Outcome:
    """All candidates; the best score wins, in most - 1 duels."""
    best = scores[..., :most].argmin(-1)
    return Outcome(_at(passes, best), np.full(best.shape, most), np.full(best.shape, most - 1))


def until_good_enough(scores: np.ndarray, passes: np.ndarray, most: int, good: float) -> Outcome:
    """One after the other, each scored once, until one is good enough; else the best of all."""
    found = scores[..., :most] <= good
    first = np.where(found.any(-1), found.argmax(-1), most - 1)
    best = np.where(found.any(-1), first, scores[..., :most].argmin(-1))
    return Outcome(_at(passes, best), first + 1, first + 1)


def _at(passes: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.take_along_axis(passes, index[..., None], -1)[..., 0]


def strategies(scores: np.ndarray, passes: np.ndarray) -> dict[str, tuple[Outcome, bool]]:
    """Name -> outcome, and whether the winner is started again, as published."""
    seeds = scores.shape[-1]
    blind = knockout(scores, passes, 1)
    best_of = {
        f"the paper's filter, {MOST} candidates": (knockout(scores, passes, MOST), True),
        f"knockout of {MOST}, the winner goes on": (knockout(scores, passes, MOST), False),
        "knockout of 3, the winner goes on": (knockout(scores, passes, 3), False),
    }
    budget = {
        f"good enough, at most {most}": (until_good_enough(scores, passes, most, GOOD), False) for most in (MOST, seeds)
    }
    return {"blind": (blind, False), **best_of, **budget}


def cells(distances: np.ndarray, passes: np.ndarray, steps: int, early: int, draws: int = DRAWS) -> list[dict]:
    """Every strategy for every judge; `over` is the success over the paper's filter's, paired by scene."""
    done = []
    for right in RIGHT:
        scores, ends = draw(distances, passes, right, draws)
        found = strategies(scores, ends)
        paper = next(outcome for outcome, again in found.values() if again).passed.mean(0)
        for name, (outcome, again) in found.items():
            apart = outcome.passed.mean(0) - paper
            mean = float(outcome.sampled.mean())
            done.append(
                {
                    "p": right,
                    "strategy": name,
                    "success": round(float(outcome.passed.mean()), 4),
                    "over": round(float(apart.mean()), 4),
                    "interval": round(float(1.96 * apart.std(ddof=1) / len(apart) ** 0.5), 4),
                    "candidates": round(mean, 2),
                    "looks": round(float(outcome.looks.mean()), 2),
                    "nfe": round(_nfe(steps, early, mean, again), 1),
                    "nfe_published": round(_nfe(*PUBLISHED, mean, again), 1),
                }
            )
    return done


def _nfe(steps: int, early: int, sampled: float, again: bool) -> float:
    """Model calls for a mean number of candidates; one candidate is never started again."""
    whole = steps_taken(steps, early, 1, again and sampled > 1)
    return whole + (sampled - 1) * early


def page(result: dict) -> str:
    """The figures in Markdown."""
    lines = [
        "# What a budget is worth",
        "",
        f"Simulated on the table of [early_filter.md](early_filter.md): {result['scenes']} scenes, {result['seeds']} "
        f"seeds each, n = {result['steps']}, previews of step m = {result['early']}. **That table is of an earlier "
        "demo model (64 px, no adapter), not of the one in `demo/weights`**, whose early filter has not been recorded. "
        "The judge's score is the scene's measure plus Gaussian noise, so that it is right in a share p of the pairs. "
        f"*Good enough*: one candidate after the other, until a score says {GOOD:g} of the check's limit or less, as "
        "`good_enough` does. *Over*: success over the paper's filter's, paired by scene, with its 95 % interval. "
        f"*NFE, published*: the same number of candidates at n = {PUBLISHED[0]}, m = {PUBLISHED[1]}.",
    ]
    for right in dict.fromkeys(cell["p"] for cell in result["cells"]):
        lines += ["", f"## A judge that is right in {right:g} of the pairs", ""]
        lines += ["| strategy | success | over, points | candidates | looks | NFE | NFE, published |"]
        lines += ["|---|---|---|---|---|---|---|"]
        for cell in (one for one in result["cells"] if one["p"] == right):
            over = f"{100 * cell['over']:+.1f} +- {100 * cell['interval']:.1f}"
            cost = f"{cell['candidates']:g} | {cell['looks']:g} | {cell['nfe']:g} | {cell['nfe_published']:g}"
            lines.append(f"| {cell['strategy']} | {cell['success']:.1%} | {over} | {cost} |")
    lines += [
        "",
        "Looks are pairs compared (knockout) or candidates scored; a look is one question or two. Agreement of",
        "candidates (`budget` adaptive) needs the previews themselves, which the table does not hold: not simulated.",
    ]
    return "\n".join([*lines, f"{result['draws']} draws of order and noise a scene. On {result['machine']}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recorded = json.loads((ROOT / "benchmarks" / "early_filter.json").read_text(encoding="utf-8"))
    distances = np.array([line["previews"][str(EARLY)] for line in recorded["table"]])
    passes = np.array([[mark == "1" for mark in line["success"]] for line in recorded["table"]])
    result = {
        "scenes": len(distances),
        "seeds": distances.shape[1],
        "steps": recorded["steps"],
        "early": EARLY,
        "draws": DRAWS,
        "sha256": recorded["sha256"],
        "machine": describe("no GPU used"),
        "cells": cells(distances, passes, recorded["steps"], EARLY),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "filter_budget.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (args.out / "filter_budget.md").write_text(page(result), encoding="utf-8")
    logging.info("%s", page(result))


if __name__ == "__main__":
    main()
