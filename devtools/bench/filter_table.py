"""The early filter's figures, by arithmetic from one table of scenes and seeds.

The table holds, for each scene and seed, how far each preview and the finished picture are from what was asked for, in
the check's own units (below 1 passes). Every number of candidates is read off the same seeds: all subsets of that
size, weighed equally, instead of one draw.
"""

from __future__ import annotations

from math import comb

import numpy as np

from icedit_core.candidates import steps_taken

COUNTS = (1, 2, 4, 6, 12)
STEPS = 50  # as published
EARLY = (4, 10)  # published too: 8 and 20 % of the steps
ACCURACIES = (0.43, 0.56, 0.62, 0.68, 0.76, 0.9)
LEANINGS = (-0.2, 0.0, 0.2)  # a judge with a bias is right this much more often when the better edit is shown first
DRAWS = 200_000


def chances(count: int, seeds: int) -> np.ndarray:
    """(seeds, count): how likely the seed of rank r (0 is the best) is the k-th best of `count` drawn at random."""
    return np.array(
        [[comb(r, k) * comb(seeds - 1 - r, count - 1 - k) for k in range(count)] for r in range(seeds)]
    ) / comb(seeds, count)


def placed(seen: np.ndarray, success: np.ndarray, count: int) -> np.ndarray:
    """How often the k-th best of `count` previews becomes a success, scene by scene.

    Args:
        seen: (scenes, seeds), distance of the preview from what was asked for.
        success: (scenes, seeds) bool, of the finished picture.
    Returns:
        (scenes, count).
    """
    ranked = np.take_along_axis(success, np.argsort(seen, axis=1, kind="stable"), axis=1)
    return ranked.astype(float) @ chances(count, seen.shape[1])


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Mean over scenes and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0.0


def rightness(accuracy: float, leaning: float) -> tuple[float, float]:
    """How often a judge is right when the better edit is shown first, and when it is shown second.

    The mean of both is `accuracy`; the leaning shrinks where it would ask for more than certainty.
    """
    room = min(accuracy, 1 - accuracy)
    leaning = min(max(leaning, -room), room)
    return accuracy + leaning, accuracy - leaning


def knockout_places(count: int, accuracy: float, leaning: float, both: bool, draws: int = DRAWS, seed: int = 0):
    """Which place the winner of a knockout holds among the candidates, for a judge with that accuracy.

    The tournament of `icedit_core.ranking.knockout`: the champion is shown first; asked in both orders, a
    contradiction is a tie and keeps it. Every answer errs independently, however alike the pictures are.

    Returns:
        (count,): the probability of each place, the truly best candidate first.
    """
    rng = np.random.default_rng(seed)
    ranks = rng.permuted(np.tile(np.arange(count), (draws, 1)), axis=1)
    first_right, second_right = rightness(accuracy, leaning)
    champion = ranks[:, 0]
    for challenger in ranks.T[1:]:
        better = champion < challenger
        # The champion is called better when the judge is right about a better champion or wrong about a worse one.
        said = (rng.random(draws) < np.where(better, first_right, second_right)) == better
        if both:
            said |= (rng.random(draws) < np.where(better, second_right, first_right)) == better
        champion = np.where(said, champion, challenger)
    return np.bincount(champion, minlength=count) / draws


def calls(count: int, both: bool) -> int:
    """Questions to the judge in a knockout."""
    return (count - 1) * (2 if both else 1)


def agreement(seen: np.ndarray, success: np.ndarray) -> float:
    """Of two seeds of a scene, one of which fails in the end: how often its preview is the worse one (0.5: chance)."""
    one, other = np.triu_indices(seen.shape[1], 1)
    decided = success[:, one] != success[:, other]
    nearer = np.where(success[:, one], seen[:, other] - seen[:, one], seen[:, one] - seen[:, other])[decided]
    return round(float(((nearer > 0) + 0.5 * (nearer == 0)).mean()), 4) if decided.any() else 0.5


def oracle_cells(seen: dict[int, np.ndarray], success: np.ndarray, steps: int) -> list[dict]:
    """Success and cost for each number of candidates and of early steps, with a judge that is never wrong."""
    cells = []
    for early in seen:
        for count in (c for c in COUNTS if c <= success.shape[1]):
            chosen = placed(seen[early], success, count)[:, 0]
            cells.append(
                {
                    "M": count,
                    "m": early,
                    "nfe": steps_taken(steps, early, count, restart=False),
                    "nfe_published": steps_taken(steps, early, count, restart=True) if count > 1 else steps,
                    **_figures(chosen, success),
                }
            )
    return cells


def _figures(chosen: np.ndarray, success: np.ndarray) -> dict[str, float]:
    """Mean success over scenes, and the gain over one seed taken blindly on the same scenes."""
    mean, error = mean_and_error(chosen)
    gain, gain_error = mean_and_error(chosen - success.mean(axis=1))
    figures = {"success": mean, "standard_error": error, "gain": gain, "gain_error": gain_error}
    return {name: round(value, 4) for name, value in figures.items()}


def judge_cells(seen: dict[int, np.ndarray], success: np.ndarray, steps: int, draws: int = DRAWS) -> list[dict]:
    """The same for judges that are right now and then, asked once and in both orders, without and with a leaning."""
    places = {early: {c: placed(seen[early], success, c) for c in COUNTS if c <= success.shape[1]} for early in seen}
    cells = []
    for accuracy in ACCURACIES:
        for leaning in LEANINGS:
            for both in (False, True):
                for count in (c for c in COUNTS if 1 < c <= success.shape[1]):
                    winner = knockout_places(count, accuracy, leaning, both, draws)
                    for early, rates in places.items():
                        cells.append(
                            {
                                "p": accuracy,
                                "leaning": leaning,
                                "both_orders": both,
                                "M": count,
                                "m": early,
                                "nfe": steps_taken(steps, early, count, restart=False),
                                "calls": calls(count, both),
                                "best_chosen": round(float(winner[0]), 4),
                                **_figures(rates[count] @ winner, success),
                            }
                        )
    return cells
