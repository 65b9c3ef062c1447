"""SpotEdit's rules: which tokens a short step computes, and how the spared ones go on.

Source: SpotEdit, arXiv 2512.22323, and its code. The first code kept the last velocity of spared tokens and widened the
spared part where it meant the other one; its later modules let spared tokens flow straight to the source.
"""

from torch import Tensor

from .morphology import dilated
from .tokens import Grid

FINEST = 1e-4  # a threshold that still leaves nothing to compute is halved down to this


def active(distance: Tensor, threshold: float, grow: int, grid: Grid, open_tokens: Tensor | None = None) -> Tensor:
    """The tokens that differ from the source, and their neighbours.

    Args:
        distance: (B, N) from a selector.
        threshold: below it a token is spared.
        grow: tokens by which the active part is widened.
        open_tokens: (B or 1, N) bool; all others are spared whatever their distance.
    Returns:
        (B, N) bool. Where all would be spared, the threshold is halved until some are not; none at all says that the
        estimate is the source.
    """
    while not (chosen := _farther(distance, threshold, open_tokens)).any() and threshold > FINEST:
        threshold /= 2
    chosen = dilated(chosen, grow, grid)
    return chosen if open_tokens is None else chosen & open_tokens


def active_of_first_code(distance: Tensor, threshold: float, radius: int, grid: Grid) -> Tensor:
    """The first code's active tokens: its dilation widens the spared part, although it is named for the other."""
    return ~dilated(distance < threshold, radius, grid)


def straight(x: Tensor, source: Tensor, sigma: float) -> Tensor:
    """The velocity of spared tokens that leads straight to the source: their estimate is the source itself."""
    return (x - source) / sigma


def stale(velocity: Tensor, last: Tensor, chosen: Tensor) -> Tensor:
    """The first code's velocity: that of the last step which computed a token. Its estimate then stays what it was.

    Args:
        velocity: (B, N, C) of this step, any value where `chosen` is False.
        last: (B, N, C) of the step before, merged in the same way.
        chosen: (B, N) bool.
    """
    return velocity.where(chosen[..., None], last)


def _farther(distance: Tensor, threshold: float, open_tokens: Tensor | None) -> Tensor:
    chosen = distance >= threshold
    return chosen if open_tokens is None else chosen & open_tokens
