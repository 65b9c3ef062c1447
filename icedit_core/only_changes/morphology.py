"""Shapes of active tokens: specks removed, borders widened, both as large as the grid asks for."""

from torch import Tensor

from .. import pixels
from .tokens import Grid

PUBLISHED_SIDE = 64  # tokens: 1024 px
SMALLEST_SIDE = 12  # below it a speck may be the whole edit


def scaled(radius: int, grid: Grid) -> int:
    """A radius that was published for 64 x 64 tokens, on another grid; 0 below 12 tokens a side."""
    side = min(grid.rows, grid.columns)
    return int(radius * side / PUBLISHED_SIDE + 0.5) if side >= SMALLEST_SIDE else 0


def dilated(chosen: Tensor, radius: int, grid: Grid) -> Tensor:
    """Tokens (B, N) bool with all that lie within `radius` of them, diagonals included."""
    square = chosen.unflatten(1, grid[:2]).float()
    return pixels.grow(square, radius).flatten(1) > 0


def eroded(chosen: Tensor, radius: int, grid: Grid) -> Tensor:
    """Tokens whose four neighbours are chosen too, `radius` times over. Beyond the border everything is chosen."""
    spared = ~chosen.unflatten(1, grid[:2])
    for _ in range(radius):
        wider = spared.clone()
        wider[:, 1:] |= spared[:, :-1]
        wider[:, :-1] |= spared[:, 1:]
        wider[:, :, 1:] |= spared[:, :, :-1]
        wider[:, :, :-1] |= spared[:, :, 1:]
        spared = wider
    return ~spared.flatten(1)
