"""What every method of inversion needs and gives: the plan of one edit, the model's velocity, the result."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

WHO = "ICEdit DirectEdit"
Key = tuple[int, int]
"""The step and, within it, the model call: what is captured in one call is injected in the call of the same key."""
Seen = Callable[[Tensor, Tensor], None]
"""Told after every step: the latent that was reached, and the estimate of the finished one; both (B, ...)."""


class Field(Protocol):
    """The model's velocity dx/dsigma by either prompt, for latents in the model's own scale."""

    ahead: bool
    """Whether values may be captured during the inversion; if not, the source is evaluated again where needed."""

    def source(self, x: Tensor, sigma: Tensor, key: Key | None = None) -> Tensor:
        """Evaluate the source's prompt; with a key, capture its attention values."""
        ...

    def target(self, x: Tensor, sigma: Tensor, key: Key | None = None) -> Tensor:
        """Evaluate the target's prompt; with a key, inject the values captured under it, and drop them."""
        ...

    def holds(self, key: Key) -> bool:
        """Whether values are captured under the key."""
        ...


@dataclass(frozen=True)
class Plan:
    """One edit.

    Args:
        sigmas: (steps + 1,), descending, the last one 0.
        start: the first step, counted from the noisiest: 0 for all. Later ones change the picture less.
        inject: in how many steps from `start` on the target reads the source's values.
        mask: broadcasts to the latent, 1 edits and 0 keeps; None edits everywhere.
        seed: of FlowEdit's noise.
        who: the node that speaks.
    Raises:
        ValueError: a schedule, start or number of injected steps that cannot be.
    """

    sigmas: Tensor
    start: int = 0
    inject: int = 0
    mask: Tensor | None = None
    seed: int = 0
    who: str = WHO

    def __post_init__(self):
        values = self.sigmas.tolist()
        falling = all(a > b for a, b in zip(values, values[1:], strict=False))
        if len(values) < 2 or values[-1] != 0 or not falling or values[0] > 1:
            raise ValueError(
                f"{self.who}: the schedule is {_short(values)}, but noise levels that fall from at most 1 to 0 are "
                "needed. Choose another schedule or number of steps."
            )
        if not 0 <= self.start < self.steps:
            raise ValueError(
                f"{self.who}: start_step is {self.start}, but the schedule has {self.steps} steps, so 0 to "
                f"{self.steps - 1} is needed. Lower start_step or raise steps."
            )
        if not 0 <= self.inject <= self.steps - self.start:
            raise ValueError(
                f"{self.who}: injected_steps is {self.inject}, but only {self.steps - self.start} steps are taken "
                f"(start_step {self.start} of {self.steps}). Lower injected_steps."
            )

    @property
    def steps(self) -> int:
        return len(self.sigmas) - 1

    @property
    def taken(self) -> range:
        """The steps that are taken, from the noisiest."""
        return range(self.start, self.steps)

    def key(self, step: int, call: int = 0) -> Key | None:
        """The key of a model call whose values are handed over; None where none are."""
        return (step, call) if step < self.start + self.inject else None

    def width(self, step: int) -> Tensor:
        """sigma[step + 1] - sigma[step], which is negative."""
        return self.sigmas[step + 1] - self.sigmas[step]

    def blended(self, edited: Tensor, kept: Tensor) -> Tensor:
        """M * edited + (1 - M) * kept."""
        return edited if self.mask is None else self.mask * edited + (1 - self.mask) * kept


class Edited(NamedTuple):
    """The edit, and what the method makes of the source's own prompt and guidance; both (B, ...)."""

    latent: Tensor
    reconstruction: Tensor


def captured(field: Field, x: Tensor, sigma: Tensor, key: Key | None) -> None:
    """Have the source's values of this key at hand: evaluate the source again where they were not kept."""
    if key is not None and not field.holds(key):
        field.source(x, sigma, key)


def estimate(x: Tensor, sigma: Tensor, velocity: Tensor) -> Tensor:
    """The finished latent as seen from x at sigma."""
    return x - sigma * velocity


def relative_error(got: Tensor, expected: Tensor) -> float:
    """2-norm of the difference over that of `expected`."""
    return float(torch.linalg.vector_norm(got - expected) / torch.linalg.vector_norm(expected))


def _short(values: list[float]) -> str:
    shown = [f"{value:.4g}" for value in values]
    return ", ".join(shown if len(shown) < 8 else [*shown[:3], "...", *shown[-3:]])
