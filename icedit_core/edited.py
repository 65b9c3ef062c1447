"""Which pixels an unknown editor changed, told from what it merely painted again.

An editor paints the whole picture anew, with edges a little off, softer or crisper texture and a tone curve of its
own; nobody tells how much. So the picture itself is asked: how far its pixels differ is measured apart for flat and for
busy places, where it differs least. An edit is a patch that differs by several times as much *and* takes values that
the other picture does not have nearby (a moved edge has none). Found patches are left out and the measure is taken
again, as a large edit spoils the first. Gaps in a patch are filled over faint pixels whose differences have one sign
all around: those of repainting change theirs from pixel to pixel.

`change` has the decoded source as a second panel and trusts single pixels; here only patches count.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .pixels import box_mean, connected, maximum

RANGE = 2  # px around a pixel whose values are no news
BUSY = 3  # px around a pixel whose range says how busy the place is
CLASSES, SAMPLE = 12, 60_000  # of flat to busy places, and pixels looked at for them
FIRST = 0.25, 2.4  # quantile that counts as unedited at first, and what makes a median of it
BOUNDS = 0.012, 0.04  # what an editor is held to differ by at least, and at most, in RGB of [0, 1]
CAP = 20.0  # times the usual difference, from which more says no more
SEED, SEED_PX = 5.0, 2  # news, in usual differences, on average around a pixel that starts a patch
GROW, GROW_PX = 3.0, 1  # difference and ...
GROW_NEWS = 1.25  # ... news of pixels that carry it on
TONE, TONE_PX = 2.0, 4  # signed difference, in usual ones, on average around a faint pixel that belongs to a patch ...
TONE_BOUNDS = 0.008, 0.02  # ... what an editor is held to be off by on average there, at least and at most
TONE_LEAST = 0.2  # ... share of the px around that the patch leaves
INSIDE, INSIDE_PX, FILLS = 0.45, 16, 3  # ... share of the px around that the patch has, so often
RIM = 4  # px around a patch in which the difference alone does
LOOKS, APART, REST = 3, 6, 0.05  # measures; px left out around a patch; least share of the picture that remains
WHOLE = 0.9  # share of the picture from which an edit is one of the whole picture
DETAIL, DETAIL_SHARE, AREA = 0.1, 0.95, 0.7  # ... or of what is busier than that, with this much of the picture
CLIPPED = 0.985  # a value above it, or below one less it, may stand for anything beyond


def edited(
    source: Tensor,
    edit: Tensor,
    threshold: float = 1.0,
    coded: Tensor | None = None,
    step: Callable[[], None] = lambda: None,
) -> Tensor:
    """Find the edited patches.

    Args:
        source, edit: (h, w, 3) in [0, 1], the edit aligned and its colours matched.
        threshold: factor on the tuned threshold.
        coded: (h, w, 3), the source as the editor's autoencoder gives it back: what that loses is no edit.
        step: called between steps; may raise to stop.
    Returns:
        (h, w) float32, 1 = edited.
    """
    if torch.equal(source, edit):
        return torch.zeros(source.shape[:2], device=source.device)
    before, after = (x.float().movedim(-1, 0) for x in (source, edit))  # (3, h, w)
    differs, new, gone = (after - before).abs().amax(0), _beyond(after, before), _beyond(before, after)
    if coded is not None:
        lossy = coded.float().movedim(-1, 0)
        differs = torch.minimum(differs, (after - lossy).abs().amax(0))
        new, gone = torch.minimum(new, _beyond(after, lossy)), torch.minimum(gone, _beyond(lossy, after))
    step()
    news = torch.maximum(new, gone)
    busy = torch.minimum(_spread(before, BUSY), _spread(after, BUSY))
    usual, unedited = _usual(differs, busy, None), None
    for _ in range(LOOKS - 1):
        step()
        far = maximum((_mean(news / usual, SEED_PX) > threshold * SEED)[None].float(), APART)[0] == 0
        if far.float().mean() < REST:
            break
        usual, unedited = _usual(differs, busy, far), far
    step()
    strong, fresh = _mean(differs / usual, GROW_PX), _mean(news / usual, SEED_PX)
    seeds, carry = fresh > threshold * SEED, strong > threshold * GROW
    mask = connected(seeds[None], (seeds | (carry & (fresh > threshold * GROW_NEWS)))[None])
    step()
    tone = _tone(after - before, mask)
    if coded is not None:
        tone = torch.minimum(tone, _tone(after - lossy, mask))
    faint = (tone > threshold * TONE * _usual(tone, busy, unedited, TONE_BOUNDS)) & (differs > threshold * usual)
    for _ in range(FILLS):
        step()
        inside = box_mean(mask, INSIDE_PX) > INSIDE
        mask = connected(mask > 0, (mask > 0) | (faint & inside))
    step()
    rim = carry & (maximum(mask, RIM)[0] > 0)
    return connected(mask > 0, (mask > 0) | rim)[0]


def whole(source: Tensor, mask: Tensor) -> bool:
    """Whether the edit is one of the whole picture, as a style: what is left are flat places, alike by chance.

    Args:
        source: (h, w, 3) in [0, 1].
        mask: (h, w), 1 = edited.
    """
    if mask.mean() >= WHOLE:
        return True
    near = maximum(mask[None], BUSY)[0]
    detail = (_spread(source.float().movedim(-1, 0), BUSY) - DETAIL).clamp(min=0)
    return bool(near.mean() >= AREA and (near * detail).sum() >= DETAIL_SHARE * detail.sum())


def unclipped(source: Tensor, edit: Tensor, matched: Tensor) -> Tensor:
    """Give clipped pixels of an edit the source's value where that lies beyond.

    Args:
        source, edit, matched: (..., 3) in [0, 1]; `matched` is the edit with its colours matched to the source's.
    """
    matched = torch.where(edit >= CLIPPED, torch.maximum(matched, source), matched)
    return torch.where(edit <= 1 - CLIPPED, torch.minimum(matched, source), matched)


def _tone(difference: Tensor, mask: Tensor) -> Tensor:
    """The largest channel of the mean difference around each pixel, outside the mask, (3, h, w) to (h, w)."""
    rest = (maximum(mask, 1) == 0).float()
    sums, share = box_mean(difference * rest, TONE_PX), box_mean(rest, TONE_PX)
    return torch.where(share > TONE_LEAST, sums / share.clamp(min=TONE_LEAST), 0).abs().amax(0)


def _usual(differs: Tensor, busy: Tensor, unedited: Tensor | None, bounds: tuple[float, float] = BOUNDS) -> Tensor:
    """How far each pixel may differ and be merely painted again, (h, w): the median of its class, flat to busy."""
    x, y = (busy.flatten(), differs.flatten()) if unedited is None else (busy[unedited], differs[unedited])
    step = max(1, len(x) // SAMPLE)
    x, order = x[::step].sort()
    parts = max(1, min(CLASSES, len(x) // 200))
    quantile, factor = FIRST if unedited is None else (0.5, 1.0)
    at = torch.stack([part.median() for part in x.chunk(parts)])
    usual = torch.stack([part.quantile(quantile) for part in y[::step][order].chunk(parts)]) * factor
    usual = usual.cummax(0).values.clamp(*bounds)
    upper = torch.searchsorted(at, busy).clamp(1, max(1, len(at) - 1)).clamp(max=len(at) - 1)
    lower = (upper - 1).clamp(min=0)
    share = ((busy - at[lower]) / (at[upper] - at[lower]).clamp(min=1e-6)).clamp(0, 1)
    return torch.lerp(usual[lower], usual[upper], share)


def _beyond(values: Tensor, others: Tensor) -> Tensor:
    """The largest distance of a channel to the range that the other picture has around it, (3, h, w) to (h, w)."""
    above, below = values - maximum(others, RANGE), -maximum(-others, RANGE) - values
    return torch.maximum(above, below).amax(0).clamp(min=0)


def _spread(picture: Tensor, radius: int) -> Tensor:
    """The largest range of a channel within `radius`, (3, h, w) to (h, w)."""
    return (maximum(picture, radius) + maximum(-picture, radius)).amax(0)


def _mean(ratio: Tensor, radius: int) -> Tensor:
    """The mean within `radius`, no pixel counting for more than `CAP`."""
    padded = F.pad(ratio.clamp(max=CAP)[None, None], (radius,) * 4, mode="replicate")
    return F.avg_pool2d(padded, 2 * radius + 1, stride=1)[0, 0]
