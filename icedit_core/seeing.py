"""Pictures for a person to look at: what will be repainted, what was changed. Small copies; no data goes through."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .pixels import grow

MOST = 8  # pictures of a batch that are shown
LONGEST, SHORTEST = 1024, 512  # px of the longer side that a shown picture has
LINE, STRIPE = 2, 12  # px of the line, and from one stripe to the next, where the longer side is 512
ACCENT, EDGE = (1.0, 0.42, 0.0), (0.0, 0.0, 0.0)
FILL, STRIPES, EDGE_ALPHA = 0.22, 0.5, 0.55


def shown_size(size: tuple[int, int]) -> tuple[int, int]:
    """The size (width, height) at which a picture is shown: as it is, shrunk, or enlarged by a whole factor."""
    longest = max(size)
    if longest > LONGEST:
        return max(1, round(size[0] * LONGEST / longest)), max(1, round(size[1] * LONGEST / longest))
    factor = -(-SHORTEST // longest)
    return size[0] * factor, size[1] * factor


def shown(images: Tensor) -> Tensor:
    """The first pictures of a batch at the size at which they are shown.

    Args:
        images: (B, H, W, C) float in [0, 1].
    Returns:
        (at most 8, h, w, C) float32 on the CPU; enlarged pictures keep their pixels as squares.
    """
    height, width = images.shape[1:3]
    size = shown_size((width, height))
    if size[0] < width or size[1] < height:  # one by one: a batch of photographs in float32 is large
        return torch.cat([_shrunk(image, size) for image in images[:MOST]]).clamp(0, 1)
    factor = size[0] // width
    images = images[:MOST].float().cpu().clamp(0, 1)
    return images.repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2)


def outline(mask: Tensor) -> Tensor:
    """The border of what a mask covers, to be laid over the picture.

    Args:
        mask: (B, H, W); above 0 counts, also where it is a single pixel of a large picture.
    Returns:
        (at most 8, h, w, 4) float32 RGBA on the CPU, at the size of `shown`: a bright line inside the border, a dark
        one outside it, nothing elsewhere.
    """
    covered = _covered(mask)
    line = _scaled(LINE, covered)
    # The picture's own edge is a border as well.
    inside = covered - grow(F.pad(covered, (line,) * 4), -line)[:, line:-line, line:-line]
    outside = grow(covered, line // 2) - covered
    return _coloured(inside, ACCENT) + _coloured(outside * EDGE_ALPHA, EDGE)


def shaded(images: Tensor, mask: Tensor) -> Tensor:
    """Pictures with a part striped and outlined.

    Args:
        images: (B, H, W, 3) float in [0, 1].
        mask: (B, H, W); above 0 is shaded.
    Returns:
        (at most 8, h, w, 3) float32 on the CPU.
    """
    pictures, covered = shown(images), _covered(mask)
    rows, columns = (torch.arange(length) for length in covered.shape[1:])
    period = _scaled(STRIPE, covered)
    stripes = (rows[:, None] + columns) % period < period // 3
    strength = covered * torch.where(stripes, STRIPES, FILL)
    return laid_over(laid_over(pictures, _coloured(strength, ACCENT)), outline(mask))


def laid_over(pictures: Tensor, layer: Tensor) -> Tensor:
    """Pictures (B, h, w, 3) under a layer of RGBA (B, h, w, 4)."""
    return torch.lerp(pictures, layer[..., :3], layer[..., 3:])


def _shrunk(image: Tensor, size: tuple[int, int]) -> Tensor:
    """One picture (H, W, C) by means of areas, which for a small copy are enough and quick: (1, h, w, C)."""
    planes = F.interpolate(image.float().movedim(-1, 0)[None], size=(size[1], size[0]), mode="area")
    return planes.movedim(1, -1).cpu()


def _covered(mask: Tensor) -> Tensor:
    """Where the mask is above 0, 1; at the size of `shown`, and without losing what is thinner than a pixel there."""
    hard = (mask[:MOST] > 0).float().cpu()
    height, width = hard.shape[1:]
    size = shown_size((width, height))
    if size[0] < width or size[1] < height:
        return F.adaptive_max_pool2d(hard[:, None], (size[1], size[0]))[:, 0]
    return shown(hard[..., None])[..., 0]


def _scaled(length: int, pictures: Tensor) -> int:
    return round(length * max(pictures.shape[1:3]) / SHORTEST)


def _coloured(alpha: Tensor, colour: tuple[float, float, float]) -> Tensor:
    """A layer (B, h, w, 4) of one colour where alpha is not 0."""
    rgb = alpha.new_tensor(colour) * (alpha > 0)[..., None]
    return torch.cat([rgb, alpha[..., None]], dim=-1)
