"""Shift and zoom between a picture and an edit of it, coarse to fine.

A coarse search tries what editors do with a format (stretch, crop, pad) by phase correlation of small copies; from
there tiles refine the fit (tiles.py) on every level of a pyramid.
"""

from dataclasses import replace
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from .tiles import LEAST_TILES, ONE_ZOOM, Fit, Level, refine, textured
from .trust import FLAT, judge, settle

WORKING = 600_000  # pixels that are looked at: larger pictures are reduced
COARSE = 320  # px of the longer side, at most, where a fit without zoom is searched
COARSEST = 160  # ... and with zoom
WIDE_ZOOMS = (0.75, 0.8, 0.85, 0.88, 0.91, 0.94, 0.97, 1.03, 1.06, 1.09, 1.12, 1.16, 1.2, 1.25, 1.33)
ENOUGH = 0.5  # share of matching tiles at the coarse level from which no other zoom is searched
ROUNDS = 6  # refinements of the best that are found
ALIKE = 0.02  # mean difference of pictures without detail, below which the one may well be the other
PEAKS = 2  # shifts that are tried of every phase correlation
LUMA = (0.299, 0.587, 0.114)


def fit(source: Tensor, edit: Tensor) -> Fit:
    """Fit shift and zoom of `edit` (h, w, 3) against `source` (H, W, 3), both in [0, 1]."""
    levels = _pyramid(source, edit)
    if min(textured(levels[-1].source), textured(levels[-1].edit)) < LEAST_TILES:
        return Fit(reason="" if _alike(levels[0]) else FLAT)
    formats = _formats((source.shape[0], source.shape[1]), (edit.shape[0], edit.shape[1]))
    near = max([i for i, level in enumerate(levels) if max(level.source.shape) <= COARSE], default=0)
    found = _search(levels[near], formats, (1.0,))
    if found.share < ENOUGH:
        wide = _search(levels[0], formats, WIDE_ZOOMS)
        for level in levels[1 : near + 1]:
            wide = refine(level, wide, ROUNDS, ONE_ZOOM)
        found = max(found, wide, key=lambda f: f.score)
    for level in levels[near:]:
        found = settle(level, found)
    return judge(levels[-1], found)


def _alike(level: Level) -> bool:
    """Whether the stretched edit differs from the source by hardly more than brightness."""
    difference = level.warp(Fit())[0] - level.source
    return float((difference - difference.median()).abs().mean()) < ALIKE


def _pyramid(source: Tensor, edit: Tensor) -> list[Level]:
    """Both pictures in grey and slightly smoothed, from the smallest size to the working size, each the double."""
    height, width = source.shape[:2]
    area = min(WORKING, height * width, 4 * edit.shape[0] * edit.shape[1])
    scale = (area / (height * width)) ** 0.5
    sizes = [(max(1, round(height * scale)), max(1, round(width * scale)))]
    while max(sizes[-1]) > COARSEST:
        sizes.append((max(1, round(sizes[-1][0] / 2)), max(1, round(sizes[-1][1] / 2))))
    # The copies are small and the search asks for many single numbers: on the CPU it is as fast, and always the same.
    greys = [_grey(source).cpu(), _grey(edit).cpu()]
    levels = []
    for size in sizes:
        greys[0] = _reduce(greys[0], size)
        greys[1] = _reduce(greys[1], (min(size[0], greys[1].shape[0]), min(size[1], greys[1].shape[1])))
        levels.append(Level(_smooth(greys[0]), _smooth(greys[1]), (height / size[0], width / size[1])))
    return levels[::-1]


def _grey(image: Tensor) -> Tensor:
    return image.float() @ image.new_tensor(LUMA, dtype=torch.float32)


def _reduce(grey: Tensor, size: tuple[int, int]) -> Tensor:
    if grey.shape == size:
        return grey
    return F.interpolate(grey[None, None], size=size, mode="bilinear", antialias=True)[0, 0]


def _smooth(grey: Tensor) -> Tensor:
    """A Gaussian of 1 px: less noise, and gradients that hold over a pixel."""
    kernel = grey.new_tensor([1, 4, 6, 4, 1]) / 16
    padded = F.pad(grey[None, None], (2, 2, 2, 2), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, 5)), kernel.view(1, 1, 5, 1))[0, 0]


def _formats(source: tuple[int, int], edit: tuple[int, int]) -> list[tuple[float, float]]:
    """The scales (y, x) that an editor's format may have, relative to stretching the picture to it."""
    down, across = edit[0] / source[0], edit[1] / source[1]
    found = [(1.0, 1.0)]
    for scale in (max(down, across), min(down, across), 1.0):  # cropped to fill it, padded to fit it, not resized
        new = (scale / down, scale / across)
        if all(max(abs(new[0] / y - 1), abs(new[1] / x - 1)) > 0.03 for y, x in found) and max(new) < 4 > 1 / min(new):
            found.append(new)
    return found


def _search(level: Level, formats: list[tuple[float, float]], zooms: tuple[float, ...]) -> Fit:
    """The best fit on a small copy, over the given formats and zooms and all shifts.

    So few tiles would overfit a zoom of each axis, so that is left to the finer levels.
    """
    found = []
    for (y, x), zoom in product(formats, zooms):
        start = Fit(scale_x=x * zoom, scale_y=y * zoom, format=(y, x))
        for dy, dx in _shifts(level, start):
            shift_y, shift_x = dy * start.scale_y * level.unit[0], dx * start.scale_x * level.unit[1]
            found.append(refine(level, replace(start, shift_x=shift_x, shift_y=shift_y), 2, ONE_ZOOM))
    found.sort(key=lambda f: -f.score)
    return max((refine(level, f, ROUNDS, ONE_ZOOM) for f in found[:3]), key=lambda f: f.score)


def _shifts(level: Level, start: Fit) -> list[tuple[int, int]]:
    """No shift and the likeliest shifts (y, x) of the warped edit, px of the level, by phase correlation."""
    warped, inside = level.warp(start)
    size = [2 * n for n in warped.shape]
    spectra = [
        torch.fft.rfft2(_detail(x) * weight, s=size)
        for x, weight in ((warped, inside), (level.source, torch.ones_like(inside)))
    ]
    cross = spectra[0] * spectra[1].conj()
    power = cross.abs()
    peaks = _smooth(torch.fft.irfft2(cross / (power + 0.01 * power.mean()) ** 0.8, s=size))
    found = [(0, 0)]
    for _ in range(PEAKS):
        y, x = divmod(int(peaks.argmax()), size[1])
        found.append((y - size[0] if y >= size[0] // 2 else y, x - size[1] if x >= size[1] // 2 else x))
        rows = [(y + i) % size[0] for i in range(-3, 4)]
        columns = [(x + i) % size[1] for i in range(-3, 4)]
        peaks[torch.tensor(rows)[:, None], torch.tensor(columns)] = -torch.inf
    return found


def _detail(grey: Tensor) -> Tensor:
    """Without what changes slowly."""
    padded = F.pad(grey[None, None], (8, 8, 8, 8), mode="replicate")
    return grey - F.avg_pool2d(padded, 17, stride=1)[0, 0]
