"""Choose the simplest fit that the tiles do not contradict, and say whether it can be trusted.

An edit that repaints everything moves edges by parts of a pixel and figures by some; four free numbers always find a
little zoom in that. So no shift at all, a shift, and one zoom for both axes are tried before a zoom of each axis.
"""

from dataclasses import replace

import torch

from .tiles import ALL, LEAST_TILES, ONE_ZOOM, Fit, Level, Votes, counted, refine, solve, votes

LEAST_SHARE = 0.3  # of the tiles with texture that match
UNSURE, UNSURE_OF_MOVE = 0.5, 0.25  # largest standard error of a fit: px of the level, or share of its largest move
BETTER = 3.0  # standard errors by which tiles must match better for a less simple fit
SURPRISE = 0.5  # most that one tile says in that, as a difference of atanh(correlation)
# What may move, of (zoom y, shift y, zoom x, shift x), from the simplest to all of it.
FREEDOMS = (
    torch.zeros(4, 0),
    torch.tensor([[0.0, 0], [1, 0], [0, 0], [0, 1]]),
    ONE_ZOOM,
    ALL,
)
ROUNDS = 3
FLAT = "the picture has too little detail to tell a shift"


def settle(level: Level, fit: Fit) -> Fit:
    """Refine a fit on a level, no freer than its tiles demand."""
    full = replace(refine(level, fit, ROUNDS), freedom=3)
    said = votes(level, full)
    for freedom in range(3):
        simple = _constrained(level, fit, freedom)
        if not _better(said, votes(level, simple)):
            return simple
    return full


def judge(level: Level, fit: Fit) -> Fit:
    """Say why a fit of `settle` cannot be trusted, if so."""
    height, width = (n * unit for n, unit in zip(level.source.shape, level.unit, strict=True))
    said, unit = votes(level, fit), max(level.unit)
    fit = replace(counted(fit, said), reduction=max(1.0, unit))
    if int(said.texture.sum()) < LEAST_TILES:
        return replace(fit, reason=FLAT)
    if fit.share < LEAST_SHARE or fit.tiles < LEAST_TILES:
        return replace(fit, reason=f"only {100 * fit.share:.0f} % of the picture match the source")
    if fit.freedom == 0:
        return fit
    fit = replace(fit, error=solve(said, max(level.source.shape) / 2, FREEDOMS[fit.freedom])[1] * unit)
    move_y = abs(fit.scale_y / fit.format[0] - 1) * height / 2 + abs(fit.shift_y)
    move_x = abs(fit.scale_x / fit.format[1] - 1) * width / 2 + abs(fit.shift_x)
    if fit.error > max(UNSURE * unit, UNSURE_OF_MOVE * max(move_y, move_x)):
        return replace(fit, reason="too little of the picture matches the source to tell the zoom")
    return fit


def _constrained(level: Level, fit: Fit, freedom: int) -> Fit:
    """The best fit of less freedom."""
    zooms = [fit.scale_y / fit.format[0], fit.scale_x / fit.format[1]]
    zoom = (zooms[0] * zooms[1]) ** 0.5 if freedom == 2 else 1.0
    start = replace(fit, scale_y=fit.format[0] * zoom, scale_x=fit.format[1] * zoom, freedom=freedom)
    if freedom == 0:
        return replace(start, shift_y=0.0, shift_x=0.0)
    return refine(level, start, ROUNDS, FREEDOMS[freedom])


def _better(full: Votes, simple: Votes) -> bool:
    """Whether the tiles match the full fit significantly better."""
    both = (full.texture * simple.texture * (torch.maximum(full.match, simple.match) > 0.3)) > 0
    if int(both.sum()) < LEAST_TILES:
        return True
    gain = torch.atanh(full.match[both].clamp(-0.999, 0.999)) - torch.atanh(simple.match[both].clamp(-0.999, 0.999))
    gain = gain.clamp(-SURPRISE, SURPRISE)
    return bool(gain.mean() > BETTER * gain.std() / len(gain) ** 0.5)
