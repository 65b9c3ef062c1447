"""RegionE's rules: one region for the whole sampling, and velocities that are used again.

Its spared tokens jump in one step to where the next full step stands. Under Euler that is the line to the estimate that
the last full step gave them, so they are held at that estimate, and any sampler arrives at the same place.

Source: RegionE, arXiv 2510.25590, and its code.
"""

import math
from collections.abc import Sequence

from torch import Tensor

from .. import foreign
from .morphology import dilated, eroded, scaled
from .tokens import Grid

EROSION, DILATION = 1, 2  # tokens, on 64 x 64
KONTEXT_28 = (
    *(0.8352, 0.9986, 1.0090, 1.0097, 1.0161, 1.0152, 1.0160, 1.0173, 1.0177, 1.0199, 1.0213, 1.0203, 1.0257, 1.0236),
    *(1.0235, 1.0278, 1.0302, 1.0311, 1.0352, 1.0371, 1.0391, 1.0459, 1.0498, 1.0581, 1.0693, 1.0866, 1.1090),
)
"""The published fit: how the velocity's length changes from step to step, beyond the step in time. FLUX.1 Kontext."""


def active(distance: Tensor, threshold: float, grid: Grid, open_tokens: Tensor | None = None) -> Tensor:
    """The edited region: tokens away from the source, without specks, with a border around them; sizes by the grid.

    Args:
        distance: (B, N), 1 - cosine similarity.
        threshold: above it a token is edited.
        open_tokens: (B or 1, N) bool; all others are spared.
    """
    chosen = distance >= threshold
    kept = eroded(chosen, scaled(EROSION, grid), grid)
    chosen = dilated(kept, scaled(DILATION, grid), grid)
    return chosen if open_tokens is None else chosen & open_tokens


class VelocityReuse:
    """Which short steps take the last velocity again, and by what it is multiplied.

    From step i - 1 to step i a velocity is expected to change by gamma[i - 1] (1 + sigma_i - sigma_(i - 1)). While the
    product of these factors since the last computed step stays within `error` of 1, and every one is below 1, no
    forward pass is needed. The published code multiplies by the last factor alone; here the whole product counts.

    Args:
        gammas: one for each pair of steps.
        error: largest deviation, 0 computes always. Published: 0.04 for FLUX.1 Kontext.
    """

    def __init__(self, gammas: Sequence[float], error: float):
        self.gammas, self.error, self.product = tuple(gammas), error, 1.0

    def computed(self) -> None:
        """A step was computed: the count begins anew."""
        self.product = 1.0

    def factor(self, step: int, sigmas: Sequence[float]) -> float | None:
        """What the last computed velocity is multiplied by at `step`, or None where it has to be computed."""
        ratio = self.gammas[step - 1] * (1 + sigmas[step] - sigmas[step - 1])
        product = self.product * ratio
        if ratio >= 1 or 1 - product > self.error:
            return None
        self.product = product
        return product


def read_fit(who: str, text: str) -> tuple[float, ...] | None:
    """Gammas that a person pasted, separated by blanks or commas; None for none.

    Raises:
        ValueError: a word that is no number, or a number that no velocity's length changes by.
    """
    found = []
    for word in text.replace(",", " ").split():
        try:
            found.append(float(word))
        except ValueError:
            found.append(math.nan)
        if not 0.1 < found[-1] < 10:  # NaN is in no range
            raise ValueError(
                f"{who}: velocity_fit has {foreign.line(word, 40)}, but numbers near 1 are needed, one fewer than "
                "steps. Paste the line that 'bench region --fit' writes, or leave it empty."
            )
    return tuple(found) or None


def fit(lengths: Sequence[float], sigmas: Sequence[float]) -> tuple[float, ...]:
    """The gammas of one model at one number of steps.

    Args:
        lengths: mean length of the edited tokens' velocity at every step, (steps,).
        sigmas: descending, at least steps.
    Returns:
        steps - 1 values.
    """
    return tuple(lengths[i] / lengths[i - 1] / (1 + sigmas[i] - sigmas[i - 1]) for i in range(1, len(lengths)))
