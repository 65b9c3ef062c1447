"""How an edit is cut out of the right panel at the source's full resolution: along the source's own edges.

The change is found at the panel's resolution, and an enlarged panel is blurred: its border would take a rim of
repainted pixels along. Two rules mend the border, both read off the source, which is exact:

- where the source is flat, the enlarged panel goes over from the source to the edit within a few pixels; each pixel
  takes as much of it as it already shows;
- where the border follows the source's own edges (a thing that was recoloured or removed, as a whole), the pixels
  beyond such an edge are the source's, and those on it the edit's.

Elsewhere, as where a thing of another shape was painted over an edge, the mask stays as it was found.
Written with torch alone, as `change` is.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .pixels import box_mean, maximum

# In panel px, each multiplied by the enlargement; measured on sampled demo edits (benchmarks/keep.md).
BAND = 2  # how far inside its border a mask is looked at anew
REACH = 3  # px in which the strongest change counts as the whole edit
SIDE = 4  # px in which the colours on both sides of the border are averaged
NEAR = 12  # px in which the border is asked whether it follows the source's edges
FLAT_RANGE, EDGE_RANGE = 1.5, 1  # px around a pixel in which the source is flat, or has an edge
FLAT, EDGE = 0.1, 0.15  # range of a channel below which it is flat, and above which there is an edge
LEAST = 0.02  # share of the edit that a pixel of a flat place must show
FOLLOWS = 0.8  # share of the border nearby that lies on edges
BEYOND = 0.03  # share of the inner colour below which a pixel lies beyond the source's edge
INVISIBLE = 0.02  # weights below it are 0
BAND_PIXELS = 1_000_000  # that are looked at at once
MOST = 0.9  # share of the picture from which an edit has no border to speak of

Index = tuple[slice, slice, slice]


def fit(weight: Tensor, source: Tensor, right: Tensor, scale: float, step: Callable[[], None] = lambda: None) -> Tensor:
    """Fit an enlarged change mask to the source.

    Args:
        weight: (B, H, W) in [0, 1], the found change, enlarged.
        source, right: (B, H, W, 3) in [0, 1], the source and the enlarged right panel.
        scale: source px per panel px.
        step: called between steps; may raise to stop.
    Returns:
        (B, H, W) in [0, 1], 0 where `weight` is 0.
    """
    if not weight.any():
        return weight

    def px(length: float) -> int:
        return max(1, round(length * scale))

    fitted = weight.clone()
    for inner, outer in _bands(weight, px(NEAR + EDGE_RANGE) + 2):
        step()
        part = _fit(weight[outer], source[outer], right[outer], px, step)
        fitted[inner] = part[:, inner[1].start - outer[1].start :][:, : inner[1].stop - inner[1].start]
    whole = (weight > 0.5).float().mean(dim=(1, 2), keepdim=True) >= MOST
    return torch.where(whole, weight, fitted)


def _bands(weight: Tensor, margin: int) -> Iterator[tuple[Index, Index]]:
    """The rows of a picture band by band, alone and with what is looked at around them: memory stays bounded."""
    height, width = weight.shape[1:]
    columns = weight.amax(dim=(0, 1)).nonzero()
    across = slice(max(0, int(columns.min()) - margin), min(width, int(columns.max()) + 1 + margin))
    step = max(4 * margin, BAND_PIXELS // (across.stop - across.start))
    for top in range(0, height, step):
        bottom = min(height, top + step)
        if weight[:, top:bottom].any():
            outer = slice(max(0, top - margin), min(height, bottom + margin))
            yield (slice(None), slice(top, bottom), across), (slice(None), outer, across)


def _fit(weight: Tensor, source: Tensor, right: Tensor, px: Callable[[float], int], step: Callable[[], None]) -> Tensor:
    """`fit` of a part, right where all that lies around is in it."""
    mask = (weight > 0.5).float()
    core, outside = 1 - maximum(1 - mask, px(BAND)), 1 - maximum(mask, px(1))
    apart = (right - source).abs().amax(-1)
    shown = apart / maximum(apart * mask, px(REACH)).clamp(min=1e-3)
    step()
    flat = _range(source, px(FLAT_RANGE)) < FLAT
    fitted = torch.where(flat, torch.minimum(weight, ((shown - LEAST) / (1 - LEAST)).clamp(0, 1)), weight)
    step()
    along, share = _edges(mask, core, outside, source, px, step)
    sides = torch.where(share < BEYOND, torch.zeros_like(weight), (weight > 0).float())  # no rest of the old colour
    fitted = torch.where(along & ~flat, sides, fitted)
    fitted = torch.where(core > 0, weight, fitted)
    fitted = torch.where(fitted > INVISIBLE, fitted, torch.zeros_like(fitted))
    return fitted


def _edges(
    mask: Tensor,
    core: Tensor,
    outside: Tensor,
    source: Tensor,
    px: Callable[[float], int],
    step: Callable[[], None],
) -> tuple[Tensor, Tensor]:
    """Where the border follows an edge of the source, and how much of the inner colour each pixel has, (B, H, W)."""
    border = maximum(mask, 1) - mask
    on_edge = border * (_range(source, px(EDGE_RANGE)) > EDGE)
    follows = box_mean(on_edge, px(NEAR)) > FOLLOWS * box_mean(border, px(NEAR))
    step()
    inner, has_inner = _mean_colour(source, core, px(SIDE))
    outer, has_outer = _mean_colour(source, outside, px(SIDE))
    step()
    across = inner - outer
    length = across.square().sum(-1)
    share = ((source - outer) * across).sum(-1) / length.clamp(min=1e-6)
    return follows & has_inner & has_outer & (length > EDGE**2), share


def _mean_colour(source: Tensor, mask: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """The mean colour (B, H, W, 3) of the masked pixels around each, and whether there are any (B, H, W)."""
    amount = box_mean(mask, radius)
    sums = torch.stack([box_mean(source[..., i] * mask, radius) for i in range(3)], dim=-1)
    return sums / amount[..., None].clamp(min=1e-6), amount > 1e-6


def _range(source: Tensor, radius: int) -> Tensor:
    """The largest range of a channel within `radius`, (B, H, W)."""
    channels = source.unbind(-1)
    return torch.stack([maximum(c, radius) + maximum(-c, radius) for c in channels]).amax(0)
