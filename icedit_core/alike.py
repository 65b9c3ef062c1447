"""Whether two edits of one source are the same edit, told inside the region that they changed.

Two samplings of one instruction differ everywhere a little. What counts is the edited region: there, two that make the
same edit are much nearer to each other than to the source.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 256  # px: the longer side that pictures are compared at; an edit is no finer, and a photograph costs nothing
CHANGED = 0.06  # RGB in [0, 1]: a pixel is edited when a channel differs from the source's by more
NOTHING = 0.002  # share of the picture up to which an edit changed nothing
SAME = 0.3  # of the change: up to this, two edits are the same; chosen by hand, not measured


def small(picture: Tensor) -> Tensor:
    """The picture as it is compared, (h, w, 3) in [0, 1] of at most SIDE px; (H, W, 3 or 4) comes in."""
    height, width = picture.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return _resized(picture[..., :3].float(), size)


def difference(source: Tensor, first: Tensor, second: Tensor) -> float:
    """How far two edits are apart inside what they changed, as a share of the change itself.

    Args:
        source, first, second: pictures from `small`; the edits are brought to the source's size.
    Returns:
        0 for equal edits, and for two that changed nothing; about 1 when only one of them changed something.
    """
    one, two = (_resized(edit, (source.shape[0], source.shape[1])) for edit in (first, second))
    change = torch.maximum((one - source).abs(), (two - source).abs())  # (h, w, 3)
    inside = change.amax(-1) > CHANGED
    if inside.float().mean() <= NOTHING:
        return 0.0
    return float((one - two).abs()[inside].sum() / change[inside].sum())


def changes(source: Tensor, edit: Tensor) -> bool:
    """Whether the edit changed anything; pictures from `small`."""
    other = _resized(edit, (source.shape[0], source.shape[1]))
    return bool(((other - source).abs().amax(-1) > CHANGED).float().mean() > NOTHING)


def stand_ins(source: Tensor, edits: Sequence[Tensor], same: float = SAME) -> tuple[int, ...]:
    """For each edit the first one that makes the same edit: itself, or the nearest of those that stand for others.

    Args:
        source, edits: pictures (H, W, 3 or 4) of any sizes.
        same: up to which `difference` two edits are the same.
    """
    before, after = small(source), [small(edit) for edit in edits]
    found: list[int] = []
    for index, edit in enumerate(after):
        apart = {other: difference(before, after[other], edit) for other in dict.fromkeys(found)}
        nearest = min(apart, key=apart.__getitem__, default=index)
        found.append(nearest if apart and apart[nearest] <= same else index)
    return tuple(found)


def agree(source: Tensor, edits: Sequence[Tensor], same: float = SAME) -> bool:
    """Whether two of the edits make the same edit, and it changes something; as for `stand_ins`."""
    found = stand_ins(source, edits, same)
    doubled = {one for one in found if found.count(one) > 1}
    return any(changes(small(source), small(edits[one])) for one in doubled)


def _resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """(H, W, 3) at `size`, averaged over what falls on each pixel."""
    if tuple(picture.shape[:2]) == size:
        return picture
    return F.interpolate(picture.movedim(-1, 0)[None], size=size, mode="area")[0].movedim(0, -1)
