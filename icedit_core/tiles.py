"""Refine shift and zoom between two pictures by tiles, and judge the result.

Each tile says by its gradients how far it is off, and in which direction it can tell (Lucas and Kanade 1981; the
gradients of both pictures are averaged, so that a blur of one of them gives no bias). One shift and one zoom per axis
are fitted through all tiles, robustly: edited tiles do not count.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .resample import inside, positions, resample

GOOD = 0.6  # correlation of a tile that matches
TEXTURE = 0.008  # RMS contrast of a tile that can match
LEAST_SHARE, LEAST_TILES = 0.3, 6  # matching tiles of a fit that is trusted
FURTHEST = 2.0  # px that a tile may say it is off, at once
TOLERANCES = (2.0, 1.0, 0.5, 0.3)  # px off the fit from which a tile counts for less, in the rounds of the robust fit
PRIOR = 0.005  # of a tile's vote, against any zoom: for pictures where little tells it
UNSURE = 0.5  # px of standard error anywhere in the picture from which a fit is not trusted


@dataclass(frozen=True)
class Fit:
    """A fit in the terms of `Registration`, how well the tiles match, and what speaks against it."""

    scale_x: float = 1.0
    scale_y: float = 1.0
    shift_x: float = 0.0  # source px
    shift_y: float = 0.0
    share: float = 0.0  # of the tiles with texture, those that match
    tiles: int = 0  # that match
    error: float = 0.0  # source px, standard error of the fit where it is largest
    reduction: float = 1.0  # source px per px of the copy that was measured
    reason: str = ""


@dataclass(frozen=True)
class Level:
    """One size of both pictures: grey, slightly smoothed."""

    source: Tensor  # (H, W)
    edit: Tensor  # (h, w), all of the edit
    unit: tuple[float, float]  # (y, x) source px per px of this level

    @property
    def tile(self) -> int:
        """Side of the tiles in px."""
        return 16 if max(self.source.shape) <= 320 else 32

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


def refine(level: Level, fit: Fit, rounds: int) -> Fit:
    """Move the fit to where the tiles say, `rounds` times."""
    height, width = level.source.shape
    for _ in range(rounds):
        votes = _votes(level, fit)
        zoom_y, shift_y, zoom_x, shift_x = _solve(votes, max(height, width) / 2)[0].tolist()
        # The edit is read at fit(x), and should be read at fit(x + d): d is zoom * x + shift in px of the level.
        fit = replace(
            fit,
            scale_x=fit.scale_x * (1 + zoom_x),
            scale_y=fit.scale_y * (1 + zoom_y),
            shift_x=fit.shift_x + fit.scale_x * shift_x * level.unit[1],
            shift_y=fit.shift_y + fit.scale_y * shift_y * level.unit[0],
        )
        if max(abs(zoom_y), abs(zoom_x)) * max(height, width) / 2 + max(abs(shift_y), abs(shift_x)) < 0.005:
            break
    votes = _votes(level, fit)
    tiles = int(votes.matching.sum())
    return replace(fit, share=tiles / max(1, LEAST_TILES, int(votes.texture.sum())), tiles=tiles)


def judge(level: Level, fit: Fit) -> Fit:
    """Say of a fit whether it can be trusted."""
    votes = _votes(level, fit)
    reach = max(level.source.shape) / 2
    _, error = _solve(votes, reach)
    unit = max(level.unit)
    fit = replace(fit, error=error * unit, reduction=max(1.0, unit))
    textured = int(votes.texture.sum())
    if textured < LEAST_TILES:
        return replace(fit, reason="the picture has too little detail to tell a shift")
    if fit.share < LEAST_SHARE or fit.tiles < LEAST_TILES:
        return replace(fit, reason=f"only {100 * fit.share:.0f} % of the picture match the source")
    if error > UNSURE:
        return replace(fit, reason="too little of the picture matches the source to tell the zoom")
    return fit


def _votes(level: Level, fit: Fit) -> Votes:
    warped, covered = level.warp(fit)
    side = min(level.tile, *warped.shape)
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


def _tiled(picture: Tensor, side: int) -> Tensor:
    """(H, W) to (N, side * side); a rest at the right and the bottom is left out."""
    rows, columns = picture.shape[0] // side, picture.shape[1] // side
    picture = picture[: rows * side, : columns * side]
    return picture.view(rows, side, columns, side).transpose(1, 2).reshape(rows * columns, side * side)


def _centres(picture: Tensor, side: int) -> Tensor:
    rows, columns = (torch.arange(n // side, device=picture.device) * side + side / 2 for n in picture.shape)
    grid = torch.meshgrid(rows - picture.shape[0] / 2, columns - picture.shape[1] / 2, indexing="ij")
    return torch.stack(grid, dim=-1).reshape(-1, 2)


def _solve(votes: Votes, reach: float) -> tuple[Tensor, float]:
    """The robust fit through the votes: (zoom y, shift y, zoom x, shift x), and its largest standard error in px."""
    count = len(votes.off)
    design = votes.off.new_zeros(count, 2, 4)  # what a fit says at a tile, zoom in px at `reach`
    for i in range(2):
        design[:, i, 2 * i] = votes.at[:, i] / reach
        design[:, i, 2 * i + 1] = 1
    information = design.mT @ votes.sure  # (N, 4, 2)
    base = votes.texture * ((votes.match - 0.2) / 0.6).clamp(0, 1).square()
    prior = PRIOR * torch.diag(votes.off.new_tensor([1.0, 0.01, 1.0, 0.01]))
    found, weight = votes.off.new_zeros(4), base
    for tolerance in TOLERANCES:
        residual = votes.off - design @ found
        square = (residual[:, None] @ votes.sure @ residual[..., None])[:, 0, 0]
        weight = base / (1 + square / tolerance**2).square()
        normal = (weight[:, None, None] * (information @ design)).sum(0) + prior
        found = torch.linalg.solve(normal, (weight[:, None] * (information @ votes.off[..., None])[..., 0]).sum(0))
    residual = votes.off - design @ found
    square = (residual[:, None] @ votes.sure @ residual[..., None])[:, 0, 0]
    variance = (weight * square).sum() / weight.sum().clamp(min=1e-6) + 0.01
    worst = torch.linalg.inv(normal).diagonal().view(2, 2).sum(1).amax()
    scale = found.new_tensor([reach, 1, reach, 1])
    return found / scale, float((variance * worst).sqrt())
