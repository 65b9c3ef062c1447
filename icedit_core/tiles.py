"""Refine shift and zoom between two pictures by tiles.

Each tile says by its gradients how far it is off, and in which direction it can tell (Lucas and Kanade 1981; the
gradients of both pictures are averaged, so that a blur of one of them gives no bias). One shift and one zoom per axis
are fitted through all tiles, robustly: edited tiles do not count.
"""

from dataclasses import dataclass, replace

import torch
from einops import rearrange
from torch import Tensor

from .resample import inside, positions, resample

GOOD = 0.6  # correlation of a tile that matches
TEXTURE = 0.008  # RMS contrast of a tile that can match
LEAST_TILES = 6  # matching tiles below which nothing can be told
FURTHEST = 2.0  # px that a tile may say it is off, at once
TOLERANCES = (2.0, 1.0, 0.5, 0.3)  # px off the fit from which a tile counts for less, in the rounds of the robust fit
PRIOR = 0.005  # of a tile's vote, against any zoom: for pictures where little tells it
SETTLED = 0.02  # px: a smaller step is the last
ALL = torch.eye(4)  # what may move, of (zoom y, shift y, zoom x, shift x)
ONE_ZOOM = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]])


@dataclass(frozen=True)
class Fit:
    """A fit in the terms of `Registration`, how well the tiles match, and what speaks against it."""

    scale_x: float = 1.0
    scale_y: float = 1.0
    shift_x: float = 0.0  # source px
    shift_y: float = 0.0
    share: float = 0.0  # of the tiles with texture, those that match
    score: float = 0.0  # mean correlation of the tiles with texture
    tiles: int = 0  # that match
    error: float = 0.0  # source px, standard error of the fit where it is largest
    format: tuple[float, float] = (1.0, 1.0)  # scales (y, x) that the edit's format alone has
    freedom: int = 0  # what of it was fitted: nothing, the shift, one zoom, a zoom of each axis
    reduction: float = 1.0  # source px per px of the copy that was measured
    reason: str = ""


@dataclass(frozen=True)
class Level:
    """One size of both pictures: grey, slightly smoothed."""

    source: Tensor  # (H, W)
    edit: Tensor  # (h, w), all of the edit
    unit: tuple[float, float]  # (y, x) source px per px of this level

    def warp(self, fit: Fit) -> tuple[Tensor, Tensor]:
        """The edit on the source's grid, and where it has pixels (1, else 0), each (H, W)."""
        rows = positions(fit.scale_y, fit.shift_y / self.unit[0], self.source.shape[0], self.edit.shape[0])
        columns = positions(fit.scale_x, fit.shift_x / self.unit[1], self.source.shape[1], self.edit.shape[1])
        covered = inside(*rows, self.edit.shape[0])[:, None] & inside(*columns, self.edit.shape[1])
        return resample(self.edit[..., None], rows, columns)[..., 0], covered.to(self.edit)


@dataclass(frozen=True)
class Votes:
    """What the tiles say, N of them."""

    off: Tensor  # (N, 2) px (y, x) from the fit to where the tile matches best
    sure: Tensor  # (N, 2, 2) in which directions it can tell, trace at most 1
    match: Tensor  # (N,) correlation at the fit
    texture: Tensor  # (N,) 1 where it can match at all, else 0
    at: Tensor  # (N, 2) px (y, x) of its centre, from the picture's centre

    @property
    def matching(self) -> Tensor:
        return self.texture * (self.match > GOOD)


def refine(level: Level, fit: Fit, rounds: int, freedom: Tensor = ALL) -> Fit:
    """Move the fit to where the tiles say, `rounds` times.

    Args:
        freedom: (4, k), what may move: a basis of (zoom y, shift y, zoom x, shift x).
    """
    height, width = level.source.shape
    reach = max(height, width) / 2
    for _ in range(rounds):
        zoom_y, shift_y, zoom_x, shift_x = solve(votes(level, fit), reach, freedom)[0].tolist()
        # The edit is read at fit(x), and should be read at fit(x + d): d is zoom * x + shift in px of the level.
        fit = replace(
            fit,
            scale_x=fit.scale_x * (1 + zoom_x),
            scale_y=fit.scale_y * (1 + zoom_y),
            shift_x=fit.shift_x + fit.scale_x * shift_x * level.unit[1],
            shift_y=fit.shift_y + fit.scale_y * shift_y * level.unit[0],
        )
        if max(abs(zoom_y), abs(zoom_x)) * reach + max(abs(shift_y), abs(shift_x)) < SETTLED:
            break
    return counted(fit, votes(level, fit))


def counted(fit: Fit, said: "Votes") -> Fit:
    """The fit with how well its tiles match."""
    tiles = int(said.matching.sum())
    count = max(LEAST_TILES, int(said.texture.sum()))
    return replace(
        fit, share=tiles / count, score=float((said.texture * said.match.clamp(min=0)).sum()) / count, tiles=tiles
    )


def votes(level: Level, fit: Fit) -> Votes:
    warped, covered = level.warp(fit)
    side = _side(warped)
    a, b = (_tiled(x, side) for x in (level.source, warped))
    gradients = [_tiled(x, side) for picture in (level.source, warped) for x in torch.gradient(picture)]
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)  # (N, side * side)
    contrast = [x.square().mean(1).sqrt() for x in (a, b)]
    match = (a * b).mean(1) / (contrast[0] * contrast[1] + 1e-6)
    gain = (contrast[0] / (contrast[1] + 1e-6)).clamp(0.5, 2)[:, None]
    slopes = torch.stack([(gradients[i] + gain * gradients[i + 2]) / 2 for i in range(2)], dim=1)  # (N, 2, side ** 2)
    matrix = slopes @ slopes.mT / side**2  # (N, 2, 2)
    vector = slopes @ (a - gain * b)[..., None] / side**2  # (N, 2, 1)
    trace = matrix.diagonal(dim1=1, dim2=2).sum(1)[:, None, None] + TEXTURE**2 / 16
    eye = torch.eye(2, device=a.device)
    off = torch.linalg.solve(matrix / trace + 0.01 * eye, vector / trace)[..., 0]
    whole = _tiled(covered, side).amin(1)
    texture = whole * (contrast[0] > TEXTURE)
    return Votes(off.clamp(-FURTHEST, FURTHEST), matrix / trace, match, texture, _centres(level.source, side))


def textured(picture: Tensor) -> int:
    """How many tiles of a picture (H, W) have enough texture to match anything."""
    return int((_tiled(picture, _side(picture)).std(1, correction=0) > TEXTURE).sum())


def _side(picture: Tensor) -> int:
    """Side of the tiles in px."""
    return min(16 if max(picture.shape) <= 320 else 32, *picture.shape)


def _tiled(picture: Tensor, side: int) -> Tensor:
    """(H, W) to (N, side * side); a rest at the right and the bottom is left out."""
    rows, columns = picture.shape[0] // side, picture.shape[1] // side
    picture = picture[: rows * side, : columns * side]
    return rearrange(picture, "(rows y) (columns x) -> (rows columns) (y x)", y=side, x=side)


def _centres(picture: Tensor, side: int) -> Tensor:
    rows, columns = (torch.arange(n // side, device=picture.device) * side + side / 2 for n in picture.shape)
    grid = torch.meshgrid(rows - picture.shape[0] / 2, columns - picture.shape[1] / 2, indexing="ij")
    return torch.stack(grid, dim=-1).reshape(-1, 2)


def solve(said: Votes, reach: float, freedom: Tensor = ALL) -> tuple[Tensor, float]:
    """Fit the votes robustly.

    Args:
        reach: px from the picture's centre to its far side.
        freedom: (4, k), what may move.
    Returns:
        (zoom y, shift y, zoom x, shift x) from the present fit, and the largest standard error anywhere, px.
    """
    design = said.off.new_zeros(len(said.off), 2, 4)  # what a fit says at a tile, zoom in px at `reach`
    for i in range(2):
        design[:, i, 2 * i] = said.at[:, i] / reach
        design[:, i, 2 * i + 1] = 1
    freedom = freedom.to(said.off)
    design = design @ freedom  # (N, 2, k)
    information = design.mT @ said.sure  # (N, k, 2)
    base = said.texture * ((said.match - 0.2) / 0.6).clamp(0, 1).square()
    prior = PRIOR * freedom.T @ torch.diag(said.off.new_tensor([1.0, 0.01, 1.0, 0.01])) @ freedom
    found, square = said.off.new_zeros(freedom.shape[1]), torch.zeros_like(base)
    for tolerance in TOLERANCES:
        square = _square(said, said.off - design @ found)
        weight = base / (1 + square / tolerance**2).square()
        normal = (weight[:, None, None] * (information @ design)).sum(0) + prior
        found = torch.linalg.solve(normal, (weight[:, None] * (information @ said.off[..., None])[..., 0]).sum(0))
    variance = (weight * _square(said, said.off - design @ found)).sum() / weight.sum().clamp(min=1e-6) + 0.01
    worst = (freedom @ torch.linalg.inv(normal) @ freedom.T).diagonal().view(2, 2).sum(1).amax()
    return freedom @ found / found.new_tensor([reach, 1, reach, 1]), float((variance * worst).sqrt())


def _square(said: Votes, residual: Tensor) -> Tensor:
    """Squared px (N,) of a residual (N, 2), only in the directions in which the tile can tell."""
    return (residual[:, None] @ said.sure @ residual[..., None])[:, 0, 0]
