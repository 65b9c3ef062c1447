"""Checks and small image operations shared by the diptych and the way back.

Written with torch alone: the host ships no image library that works on the device the tensors live on,
and scipy or OpenCV would have to be imported at start-up for three lines each.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# Resampling overshoots (a bicubic upscale leaves the range by up to a quarter); anything further is another scale.
OVERSHOOT = 0.25
# Below it a mask's value counts as 0: it could not move a colour of 8 bits by one step. An 8-bit mask's 1 / 255 counts.
SHOWS = 1 / 256


def check_image(who: str, image: Tensor, name: str = "image") -> None:
    """Refuse what is not a batch of finite RGB or RGBA images of about [0, 1].

    Args:
        image: (B, H, W, 3 or 4) floating point; up to 0.25 beyond [0, 1] is taken for resampling overshoot.
    Raises:
        ValueError: with the shape or the range that was got.
    """
    if not isinstance(image, Tensor) or image.dim() != 4 or image.shape[-1] not in (3, 4):
        got = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise ValueError(
            f"{who}: {name} is {got}, but a batch of RGB or RGBA images (B, H, W, 3 or 4) is needed. "
            "Connect an IMAGE output."
        )
    if 0 in image.shape:
        raise ValueError(
            f"{who}: {name} is an empty batch, shape {tuple(image.shape)}, but at least one pixel of one image "
            "is needed. Look at the node that feeds it."
        )
    if not image.is_floating_point():
        raise ValueError(
            f"{who}: {name} holds {image.dtype}, but floating-point values in [0, 1] are needed. Divide by 255."
        )
    check_range(who, image, name, OVERSHOOT)


def check_range(who: str, values: Tensor, name: str, slack: float = 0.0) -> None:
    """Refuse NaN, infinity and values further than `slack` outside [0, 1]."""
    low, high = (float(v) for v in torch.aminmax(values))
    if not (low > float("-inf") and high < float("inf")):  # also false for NaN
        raise ValueError(
            f"{who}: {name} holds NaN or infinite values, but finite values in [0, 1] are needed. "
            "A decode in half precision is the usual cause: run the VAE in float32."
        )
    if low < -slack or high > 1 + slack:
        raise ValueError(
            f"{who}: {name} has values from {low:.3g} to {high:.3g}, but [0, 1] is needed. "
            "Scale or clamp it before this node."
        )


def covered(mask: Tensor) -> Tensor:
    """Where a mask counts at all: a bool tensor. Segmenters and resampling leave values too small to show."""
    return mask >= SHOWS


def resize(image: Tensor, size: tuple[int, int], box: tuple[int, int, int, int] | None = None) -> Tensor:
    """Resample to `size`, clamped to [0, 1]; the same size returns the same values.

    Args:
        image: (B, H, W, C) float.
        size: (width, height) px.
        box: (x, y, width, height) px of the part to take; all of it when None.
    Returns:
        (B, height, width, C) float32: bicubic, with antialiasing where it shrinks.
    """
    if box is not None:
        x, y, w, h = box
        image = image[:, y : y + h, x : x + w]
    image = image.float()
    if (image.shape[2], image.shape[1]) == size:
        return image.clamp(0, 1)
    planes = image.movedim(-1, 1).clamp(0, 1)  # (B, C, H, W)
    planes = F.interpolate(planes, size=(size[1], size[0]), mode="bicubic", antialias=True)
    return planes.clamp(0, 1).movedim(1, -1)


def grow(mask: Tensor, radius: int) -> Tensor:
    """Widen a mask (B, H, W) by `radius` px on every side, diagonals included; a negative radius shrinks it."""
    if radius == 0:
        return mask
    return maximum(mask, radius) if radius > 0 else 1 - maximum(1 - mask, -radius)


def maximum(values: Tensor, radius: int) -> Tensor:
    """The largest value within `radius` px of each, diagonals included, (B, H, W)."""
    size = 2 * radius + 1
    rows = F.max_pool2d(values[:, None], (1, size), stride=1, padding=(0, radius))  # separable: two passes
    return F.max_pool2d(rows, (size, 1), stride=1, padding=(radius, 0))[:, 0]


def box_mean(values: Tensor, radius: int) -> Tensor:
    """The mean of the square of `radius` px around each, (B, H, W); beyond the picture lie zeros."""
    size = 2 * radius + 1
    rows = F.avg_pool2d(values[:, None], (1, size), stride=1, padding=(0, radius))  # separable: two passes
    return F.avg_pool2d(rows, (size, 1), stride=1, padding=(radius, 0))[:, 0]


def connected(seeds: Tensor, mask: Tensor) -> Tensor:
    """The parts of `mask` that touch a seed, through any chain of neighbours."""
    reached, mask = (seeds & mask).float(), mask.float()
    while True:
        before = reached
        for _ in range(8):  # look for the end now and then only: each look waits for the device
            reached = torch.minimum(maximum(reached, 1), mask)
        if torch.equal(before, reached):
            return reached


def feather(mask: Tensor, radius: int) -> Tensor:
    """Let a mask fall off linearly outside itself; inside it stays as it is.

    Args:
        mask: (B, H, W) in [0, 1].
        radius: px; the weight is above 0 up to this distance (|dx| + |dy|) and exactly 0 beyond.
    Returns:
        (B, H, W): max over pixels q of mask(q) - distance / (radius + 1), not below 0.
    """
    if radius == 0:
        return mask
    slope = 1 / (radius + 1)
    for axis in (1, 2):
        step = 1
        while step <= radius:  # distances 1, 2, 4, ... reach every distance up to their sum
            shifted = [_shift(mask, step, axis), _shift(mask, -step, axis)]
            mask = torch.maximum(mask, torch.maximum(*shifted) - step * slope)
            step *= 2
    # A float rounding may leave 1e-8 where the ramp ends: the border must be exactly 0.
    return torch.where(mask < slope / 2, torch.zeros_like(mask), mask)


def _shift(mask: Tensor, step: int, axis: int) -> Tensor:
    out = torch.zeros_like(mask)
    length = mask.shape[axis] - abs(step)
    if length > 0:
        start, target = max(-step, 0), max(step, 0)
        out.narrow(axis, target, length).copy_(mask.narrow(axis, start, length))
    return out


_BAND = 2**16  # pixels turned into 8 bit at a time, so that a photograph takes no float copy of itself


def eight_bit(picture: Tensor) -> Tensor:
    """(H, W, 3) uint8, on the CPU, of a picture (H, W, 3 or more) in [0, 1]; values outside are clamped."""
    height, width = picture.shape[:2]
    pixels = torch.empty((height, width, 3), dtype=torch.uint8)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        band = picture[top : top + rows, :, :3].float().clamp(0, 1) * 255
        pixels[top : top + rows] = band.round_()
    return pixels
