"""The early filter's bookkeeping: which seeds, which steps, what it costs."""

from __future__ import annotations

SEED_RANGE = 2**64
MOST = 64  # candidates

SEAMLESS = frozenset({"euler", "heun", "dpm_2", "ddim"})
"""Samplers that can stop and go on without a trace: each step depends on the latent alone, without history or noise of
its own. A host test compares each of them, bit for bit, with an uninterrupted run."""

SEEDLESS = SEAMLESS - {"ddim"}
"""Samplers that the seed reaches through the starting noise alone, so that several seeds can share a batch (the host's
ddim draws noise of its own for a mask)."""


def check_steps(steps: int, early: int, count: int) -> None:
    """Refuse a plan that cannot be carried out.

    Raises:
        ValueError: early is not between 1 and steps - 1, or there are no candidates or more than 64.
    """
    if not 1 <= count <= MOST:
        raise ValueError(f"ICEdit candidates: {count} candidates, but 1 to {MOST} are needed. Try 6.")
    if not 1 <= early < steps:
        raise ValueError(
            f"ICEdit candidates: {early} early steps of {steps}, but 1 to {steps - 1} are needed, so that something is "
            "left to finish. Lower early_steps or raise steps."
        )


def seeds(seed: int, count: int) -> tuple[int, ...]:
    """seed, seed + 1, ...: each candidate can be made again alone with a KSampler."""
    return tuple((seed + index) % SEED_RANGE for index in range(count))


def steps_taken(steps: int, early: int, count: int, restart: bool) -> int:
    """Sampler steps of the whole early filter; model calls for a sampler with one call a step.

    Going on from the winner's state: steps + (count - 1) * early. Starting the winner anew, as published:
    steps + count * early.
    Source: ICEdit, arXiv 2504.20690, section 3.4 (NFE).
    """
    return steps + (count if restart else count - 1) * early
