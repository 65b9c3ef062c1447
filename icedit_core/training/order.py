"""Which rows a step sees: a pure function of seed and position, so that a training can go on anywhere, on any number of
processes with the same global batch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=4)
def permutation(seed: int, epoch: int, rows: int) -> np.ndarray:
    """The order of epoch `epoch`: each of `rows` rows once."""
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    order.flags.writeable = False
    return order


def row_of(seed: int, sample: int, rows: int) -> int:
    """The row of the `sample`-th sample since the training began; epochs follow each other without a gap."""
    epoch, place = divmod(sample, rows)
    return int(permutation(seed, epoch, rows)[place])


def samples(step: int, part: int, *, batch: int, accumulate: int, processes: int, process: int) -> range:
    """Sample counters of one process in one part of an optimiser step.

    Step s has the samples s * G .. (s + 1) * G - 1, G = batch * accumulate * processes, so the same samples make up
    the same step however they are dealt out.

    Args:
        step: optimiser step, from 0.
        part: 0 .. accumulate - 1.
    """
    first = ((step * accumulate + part) * processes + process) * batch
    return range(first, first + batch)
