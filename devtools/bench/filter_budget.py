"""What a budget is worth: success against model calls and judge's looks, from the recorded table of the early filter.

    python dev.py bench filter-budget [--out benchmarks]

Nothing is sampled. The judge's score of a preview is the scene's measure plus Gaussian noise, as much as makes it right
in a share p of the pairs of a scene. Seeds come in random orders; all strategies see the same orders and noise.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from icedit_core import alike
from icedit_core.budget import FIRST
from icedit_core.candidates import steps_taken
from workshop import report
from workshop.machine import describe

from .filter_page import SHOWN_EARLY

ROOT = Path(__file__).resolve().parents[2]
RIGHT = (1.0, 0.9, 0.76, 0.62)
MOST = 6  # candidates
BOUNDS = (alike.SAME, 0.1, 0.05)  # of agreement
GOOD = 0.5  # of the check's limit: a preview whose score says so is good enough
DRAWS = 200
NOISIEST = 100.0

_normal = np.vectorize(NormalDist().cdf)


class Table(NamedTuple):
    """What was recorded of each scene's seeds: (scenes, seeds), and (scenes, seeds, seeds) for `apart`."""

    distances: np.ndarray
    passes: np.ndarray
    apart: np.ndarray
    changes: np.ndarray


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
    """Scores (lower is better), outcomes and numbers of all seeds in random orders, (draws, scenes, seeds) each."""
    rng = np.random.default_rng(seed)
    shape = (draws, *distances.shape)
    order = rng.random(shape).argsort(axis=2)
    scores = distances + rng.normal(0, noise_of(distances, right) or 0.0, shape)
    taken = np.take_along_axis
    return taken(scores, order, 2), taken(np.broadcast_to(passes, shape), order, 2), order


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


class Agreed(NamedTuple):
    """What agreement makes of candidates in an order: how many are sampled, and which of them are judged."""

    sampled: np.ndarray  # (draws, scenes)
    judged: np.ndarray  # (draws, scenes, MOST) bool


def agreement(
    apart: np.ndarray, changes: np.ndarray, order: np.ndarray, same: float = alike.SAME, most: int = MOST
) -> Agreed:
    """The rule of `budget` adaptive, as `icedit_core.alike` and `icedit_core.budget` have it.

    Args:
        apart: (scenes, seeds, seeds), how far two previews are apart.
        changes: (scenes, seeds) bool, whether a preview changes anything.
        order: (draws, scenes, seeds), the seeds in the order in which they come.
        same: up to so far apart two edits are the same; the pack's own bound is `alike.SAME`.
    """
    scene = np.arange(order.shape[1])[None, :, None]
    pairs = apart[scene[..., None], order[..., :most, None], order[..., None, :most]]
    changed = changes[scene, order[..., :most]]
    stands = np.ones((*order.shape[:2], most), bool)  # for an edit of its own
    doubled = np.zeros_like(stands)  # the edit was made twice
    sampled = np.full(order.shape[:2], most)
    for index in range(1, most):
        nearest = np.where(stands[..., :index], pairs[..., :index, index], np.inf).argmin(-1)[..., None]
        again = np.take_along_axis(pairs[..., :index, index], nearest, -1) <= same
        stands[..., index] = ~again[..., 0]
        np.put_along_axis(doubled, nearest, np.take_along_axis(doubled, nearest, -1) | again, -1)
        agreed = (doubled & changed).any(-1) & (sampled == most) & (index + 1 >= FIRST)
        sampled = np.where(agreed, index + 1, sampled)
    return Agreed(sampled, stands & (np.arange(most) < sampled[..., None]))


def adaptive(scores: np.ndarray, passes: np.ndarray, agreed: Agreed) -> Outcome:
    """Candidates until two agree, and a knockout of those that make different edits."""
    most = agreed.judged.shape[-1]
    best = np.where(agreed.judged, scores[..., :most], np.inf).argmin(-1)
    return Outcome(_at(passes, best), agreed.sampled, agreed.judged.sum(-1) - 1)


def _at(passes: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.take_along_axis(passes, index[..., None], -1)[..., 0]


def strategies(scores: np.ndarray, passes: np.ndarray, agreed: dict[float, Agreed]) -> dict[str, tuple[Outcome, bool]]:
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
    until = {
        f"until two agree within {same:g}, at most {MOST}": (adaptive(scores, passes, one), False)
        for same, one in agreed.items()
    }
    return {"blind": (blind, False), **best_of, **until, **budget}


def cells(table: Table, steps: int, early: int, draws: int = DRAWS) -> list[dict]:
    """Every strategy for every judge; `over` is the success over the paper's filter's, paired by scene."""
    done = []
    for right in RIGHT:
        scores, ends, order = draw(table.distances, table.passes, right, draws)
        agreed = {same: agreement(table.apart, table.changes, order, same) for same in BOUNDS}
        found = strategies(scores, ends, agreed)
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
                }
            )
    return done


def _nfe(steps: int, early: int, sampled: float, again: bool) -> float:
    """Model calls for a mean number of candidates; one candidate is never started again."""
    whole = steps_taken(steps, early, 1, again and sampled > 1)
    return whole + (sampled - 1) * early


def read(rows: list[dict]) -> Table:
    """The recorded rows as arrays."""

    def marks(name: str) -> np.ndarray:
        return np.array([[mark == "1" for mark in line[name]] for line in rows])

    distances = np.array([line["previews"][str(SHOWN_EARLY)] for line in rows])
    apart = np.zeros((*distances.shape, distances.shape[1]))
    one, two = np.triu_indices(distances.shape[1], 1)
    apart[:, one, two] = apart[:, two, one] = np.array([line["apart"] for line in rows])
    return Table(distances, marks("success"), apart, marks("changes"))


def page(result: dict) -> str:
    """The figures in Markdown."""
    lines = [
        "# What a budget is worth",
        "",
        f"Simulated on the table of [early_filter.md](early_filter.md): {result['scenes']} scenes, {result['seeds']} "
        f"seeds each, n = {result['steps']}, previews of step m = {result['early']}. The judge's "
        "score is the scene's measure plus Gaussian noise, so that it is right in a share p of the pairs. "
        f"*Good enough*: one candidate after the other, until a score says {GOOD:g} of the check's limit or less, as "
        "`good_enough` does. *Until two agree*: one after the other, until two make the same edit, and a "
        f"knockout of the different ones, as `budget` adaptive does, whose bound is {alike.SAME:g} of the change. "
        "*Over*: success over the paper's filter's, paired by scene, with its 95 % interval.",
    ]
    for right in dict.fromkeys(cell["p"] for cell in result["cells"]):
        lines += ["", f"## A judge that is right in {right:g} of the pairs", ""]
        lines += report.table(
            ["strategy", "success", "over, points", "candidates", "looks", "NFE"],
            (
                [
                    cell["strategy"],
                    f"{cell['success']:.1%}",
                    f"{100 * cell['over']:+.1f} +- {100 * cell['interval']:.1f}",
                    *(f"{cell[cost]:g}" for cost in ("candidates", "looks", "nfe")),
                ]
                for cell in result["cells"]
                if cell["p"] == right
            ),
        )
    lines += [
        "",
        "Looks are pairs compared (knockout) or candidates scored; a look is one question or two.",
    ]
    return "\n".join([*lines, f"{result['draws']} draws of order and noise a scene. On {result['machine']}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recorded = report.read(report.FOLDER, "early_filter")
    table = read(recorded["table"])
    result = {
        "scenes": len(table.distances),
        "seeds": table.distances.shape[1],
        "steps": recorded["steps"],
        "early": SHOWN_EARLY,
        "draws": DRAWS,
        "sha256": recorded["sha256"],
        "machine": describe("no GPU used"),
        "cells": cells(table, recorded["steps"], SHOWN_EARLY),
    }
    report.write(args.out, "filter_budget", result, page(result))
    logging.info("%s", page(result))


if __name__ == "__main__":
    main()
