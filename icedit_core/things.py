"""An edit of one thing of the source, as a whole: recoloured or removed, and no more than that.

Where such an edit's model repainted edges of the surroundings along, they hang on the found change as ticks and strips.
The source tells them apart: a thing of even colour has that colour inside the change, and none of it just outside.
What is strongly new just beside the thing stays: an arm or a tip of another shape that was put in its place.
"""

import torch
from torch import Tensor

from .pixels import box_mean, connected, maximum

# px of the panel and RGB in [0, 1]; measured on sampled demo edits, and on photographs, where nothing is cut.
CORE = 2  # how far inside the change the thing's colour is read
NEAR = 12  # ... as a mean of this many px around
SAME = 0.12  # distance of a channel up to which a pixel has that colour
RING, RING_SHARE = 2, 0.15  # px around the thing, of which at most this share may have its colour
MOST = 0.6  # share of the change that the thing makes up at least
RIM = 1  # px around the thing that are mixed with its colour
BEYOND, NEWS = 2, 0.25  # further than these px outside the thing nothing is new beyond this share of the strongest news
ARM = 1  # px around a pixel of such news beside the thing that stay with it


def cut_to_thing(mask: Tensor, source: Tensor, news: Tensor) -> Tensor:
    """Cut a change to the thing that was changed, if it is one thing's and shows nothing new beside it.

    Args:
        mask: (B, h, w) of 0 and 1, the found change.
        source: (B, 3, h, w) in [0, 1].
        news: (B, h, w), how much of each pixel is new or gone.
    Returns:
        (B, h, w) of 0 and 1, never more than `mask`; `mask` itself for every other edit.
    """
    alike = _has_inner_colour(mask, source)
    around = connected(maximum(1 - mask, 1) > 0, (mask > 0) & ~alike)  # spots inside the thing are part of it
    thing = mask * (1 - around)
    ring = maximum(thing, RING) * (1 - mask)
    ends = _sum(ring * alike) <= RING_SHARE * _sum(ring)
    strong = mask * (news > NEWS * (news * mask).amax(dim=(1, 2), keepdim=True))
    no_news = _sum(strong * (1 - maximum(thing, BEYOND))) == 0
    alone = ends & no_news & (_sum(thing) > MOST * _sum(mask))
    arms = maximum(strong * (1 - maximum(thing, RIM)), ARM)
    return torch.where(alone, mask * torch.maximum(maximum(thing, RIM), arms), mask)


def _has_inner_colour(mask: Tensor, source: Tensor) -> Tensor:
    """Where the source has the mean colour of the change's inside nearby, (B, h, w) bool."""
    core = 1 - maximum(1 - mask, CORE)
    amount = box_mean(core, NEAR)
    sums = torch.stack([box_mean(source[:, i] * core, NEAR) for i in range(3)], dim=1)
    distance = (source - sums / amount[:, None].clamp(min=1e-6)).abs().amax(1)
    return (distance <= SAME) & (amount > 1e-6)


def _sum(values: Tensor) -> Tensor:
    return values.sum(dim=(1, 2), keepdim=True)
