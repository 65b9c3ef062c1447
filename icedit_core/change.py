"""Which pixels an edit changed, told from two decoded panels and the source that one of them should show.

The decoded left panel L is the source S plus the autoencoder's error; the right panel R is the edit plus an error of
the same kind. So R - L cancels the error where nothing was edited, but near an edit both panels bleed over their
edges: R over new ones, L over ones that are gone. A pixel therefore counts only where R differs from L *and* from S.
How far edges bleed is measured on the left panel, where the truth is known, and sets the threshold; a fine
autoencoder is trusted with finer changes than a coarse one.

A sampled edit also repaints what nobody named, with edges half a pixel off. Such an edge takes no value that was not
there before: so a pixel starts or carries a change only where R leaves the range of values that S and L have around it
(something new), or S and L that of R (something is gone). From there the change takes in what lies close and differs.
Repainting now and then leaves the range as well, but by little and in few pixels: of the regions found, those with
hardly any news beside the strongest are dropped.

Written with torch alone (pooling for morphology): scipy and OpenCV would be start-up imports for one function.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .pixels import box_mean, connected, maximum
from .things import cut_to_thing

# Measured on synthetic scenes (thin, faint and whole-image edits among them) with five kinds of decoding error.
NOISE = 0.7  # smallest change that counts, in RMS errors of decoding
QUIET = 3.0  # ... or in strengths of the quietest quarter of the panel, whichever is more
FAINTEST, LOUDEST = 0.01, 0.05  # ... kept between these values of RGB in [0, 1]
BLEED = 0.14  # of the strongest change nearby, times the measured blur of edges
BLEED_RANGE = (0.02, 0.25)
NEARBY = 32  # px: further than any autoencoder's error reaches (8 px cells)
BORDER = 6  # px at a panel's left and right, where it is decoded beside the other panel, or beside none
BORDER_LIMIT, BORDER_SEED = 1.3, 12.0  # factor on the threshold there, and how many of them a start needs
LARGE, REPAINTED = 0.35, 0.7  # shares of the panel that are new, or differ, from which all that differs is the edit
WHOLE = 0.97  # share of the panel from which an edit is taken for one of the whole image
SEED_RANGE, CHANGE_RANGE = 2, 1  # px around a pixel whose values are no news, to start a change and to carry it
SEED = 2.5  # ... or that differs, where the edit is no thing among others
SEED_NEW = 2.0  # how many thresholds out of range a start is
THIN_SEED = 4.0  # ... or out of the smaller range, as the thin crescent between a circle and a square
HALO = ((4, 0.5), (8, 0.35), (16, 0.2))  # within px of a change, a weaker one than this share of it is its halo
CLOSE, CLOSE_LIMIT = 16, 1.5  # px around a change in which this many thresholds join it, if they touch it
PEAK, SPREAD = 0.35, (8, 0.1)  # shares of the strongest news, of one pixel or of the px around, that a region has
GAP = 1  # px by which the parts of a region are widened before they are told apart: slivers around a new shape
SIMILAR_SOURCE, SIMILAR_EDIT = 0.05, 0.2  # RGB distance at which smoothing stops, in the source and in the panels


def changed(left: Tensor, right: Tensor, source: Tensor, threshold: float = 1.0) -> Tensor:
    """Find the changed pixels.

    Args:
        left, right: (B, h, w, 3) decoded panels in [0, 1].
        source: (B, h, w, 3), what the left panel shows, at the same size.
        threshold: factor on the tuned threshold.
    Returns:
        (B, h, w) float32, 1 = changed. Equal panels give 0 everywhere, a change of nearly all 1 everywhere.
    """
    if torch.equal(left, right):
        return torch.zeros(left.shape[:3], device=left.device)
    left, right, source = (x.float().movedim(-1, 1) for x in (left, right, source))  # (B, 3, h, w)
    smooth = _smooth(left, right, source)
    strength = _strength(*smooth, source)
    border = _border(strength)
    limit = threshold * _limit(left, source, strength) * torch.where(border, BORDER_LIMIT, 1.0)
    start = torch.minimum(_out_of_range(*smooth, source, SEED_RANGE), strength)
    change = _news(*smooth, source, start, strength, limit, border)
    differs = connected(strength > limit * torch.where(border, BORDER_SEED, SEED), strength > limit)
    near = (strength > CLOSE_LIMIT * limit) & (maximum(change, CLOSE) > 0)
    large = (change.mean(dim=(1, 2), keepdim=True) > LARGE) | (differs.mean(dim=(1, 2), keepdim=True) > REPAINTED)
    mask = cut_to_thing(_strong(connected(change > 0, near), start), source, start)
    mask = torch.where(large, differs, mask)
    whole = mask.mean(dim=(1, 2), keepdim=True) > WHOLE
    return torch.where(whole, torch.ones_like(mask), mask)


def _news(
    left: Tensor, right: Tensor, source: Tensor, start: Tensor, strength: Tensor, limit: Tensor, border: Tensor
) -> Tensor:
    """Where something is new or gone, and not merely painted again, (B, h, w) of 0 and 1."""
    carry = torch.minimum(_out_of_range(left, right, source, CHANGE_RANGE), strength)
    halo = torch.stack([share * maximum(start, distance) for distance, share in HALO]).amax(0)
    seeds = start > limit * torch.where(border, BORDER_SEED * SEED_NEW / SEED, SEED_NEW)
    seeds |= (carry > THIN_SEED * limit) & ~border
    return connected(seeds, seeds | ((carry > limit) & (strength > halo)))


def _strong(mask: Tensor, start: Tensor) -> Tensor:
    """The regions of `mask` that hold a fair share of the strongest news, at one pixel or on the whole."""
    radius, share = SPREAD
    start = start * mask
    around = box_mean(start, radius)
    peaks = start > PEAK * start.amax(dim=(1, 2), keepdim=True)
    spread = around > share * around.amax(dim=(1, 2), keepdim=True)
    spread &= start > PEAK * maximum(start, radius)  # not beside a stronger region, whose news the mean holds
    return mask * connected(peaks | spread, maximum(mask, GAP) > 0)


def _out_of_range(left: Tensor, right: Tensor, source: Tensor, radius: int) -> Tensor:
    """How far a value lies outside those that the other panel has within `radius` px, (B, h, w)."""
    new = torch.minimum(_beyond(right, source, radius), _beyond(right, left, radius))
    gone = torch.minimum(_beyond(source, right, radius), _beyond(left, right, radius))
    return torch.maximum(new, gone)


def _beyond(values: Tensor, others: Tensor, radius: int) -> Tensor:
    """The largest distance of a channel to the range of `others` around it, (B, 3, h, w) to (B, h, w)."""
    b, c, h, w = others.shape
    high = maximum(others.reshape(b * c, h, w), radius).reshape(others.shape)
    low = -maximum(-others.reshape(b * c, h, w), radius).reshape(others.shape)
    return torch.maximum(values - high, low - values).amax(1).clamp(min=0)


def _strength(left: Tensor, right: Tensor, source: Tensor) -> Tensor:
    """How much each pixel changed, (B, h, w): the smaller of the differences to the left panel and to the source."""
    strength = torch.minimum((right - left).abs().amax(1), (right - source).abs().amax(1))
    side = 0.0395  # a Gaussian of 0.4 px: single noisy pixels go, borders stay
    kernel = strength.new_tensor([side, 1 - 2 * side, side])
    padded = F.pad(strength[:, None], (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, (kernel[:, None] * kernel)[None, None])[:, 0]


def _smooth(left: Tensor, right: Tensor, source: Tensor, radius: int = 2, reach: float = 1.5) -> tuple[Tensor, Tensor]:
    """Average both panels over neighbours that look alike in the source and in the right panel.

    The source is exact, so its edges keep an edit of an existing object sharp however blurred the panels are.
    """
    height, width = source.shape[-2:]
    pair = torch.cat([left, right], dim=1)
    source_pad, pair_pad = (F.pad(x, (radius,) * 4, mode="replicate") for x in (source, pair))
    total, weights = torch.zeros_like(pair), torch.zeros_like(pair[:, :1])
    for dy in range(2 * radius + 1):
        for dx in range(2 * radius + 1):
            other = pair_pad[..., dy : dy + height, dx : dx + width]
            apart = (source_pad[..., dy : dy + height, dx : dx + width] - source).square().sum(1, keepdim=True)
            edited = (other[:, 3:] - right).square().sum(1, keepdim=True)
            far = ((dy - radius) ** 2 + (dx - radius) ** 2) / reach**2
            weight = torch.exp(-0.5 * (apart / SIMILAR_SOURCE**2 + edited / SIMILAR_EDIT**2 + far))
            total += weight * other
            weights += weight
    smooth = total / weights
    return smooth[:, :3], smooth[:, 3:]


def _limit(left: Tensor, source: Tensor, strength: Tensor) -> Tensor:
    """From which strength on a pixel counts, (B, h, w).

    It is the larger of the noise of decoding (also of the unedited part of the right panel: a sampled edit repaints
    it, with small errors and a slight drift of colours) and of what bleeds over from the strongest change nearby.
    """
    noise = (left - source).square().mean(dim=(1, 2, 3), keepdim=True).sqrt()[:, 0]  # (B, 1, 1)
    sample = strength.flatten(1)
    sample = sample[:, :: max(1, sample.shape[1] // 65536)]
    quiet = sample.quantile(0.25, dim=1)[:, None, None]
    floor = torch.maximum(NOISE * noise, QUIET * quiet).clamp(FAINTEST, LOUDEST)
    near = maximum(strength, NEARBY)
    return torch.maximum(floor, (BLEED * _blur(left, source, noise)).clamp(*BLEED_RANGE) * near)


def _blur(left: Tensor, source: Tensor, noise: Tensor, least: float = 0.03, usual: float = 0.33) -> Tensor:
    """How badly edges are decoded, (B, 1, 1): error over fine detail, `usual` for a source with hardly any detail."""
    detail = source - F.avg_pool2d(F.pad(source, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    power = detail.square().mean(dim=(1, 2, 3), keepdim=True)[:, 0]
    return ((noise.square() + (usual * least) ** 2) / (power + least**2)).sqrt()


def _border(strength: Tensor) -> Tensor:
    """The columns (w,) where the two panels are decoded differently: one ends there, the other meets its neighbour."""
    column = torch.arange(strength.shape[2], device=strength.device)
    return torch.minimum(column, column.flip(0)) < min(BORDER, len(column) // 8)
