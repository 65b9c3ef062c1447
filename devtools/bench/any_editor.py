"""A synthetic editor with known truth: a local edit, then what editors do to a picture that nobody asked for.

The local edit takes 1 to 20 % of the picture: an object of another photograph pasted, something removed, recoloured, or
a word written. Then the picture is zoomed by -2 to +2 %, shifted by up to 12 px, stretched or cropped to another
format, blurred slightly, given other colours (gain and offset up to 6 %), and decoded by a codec.
"""

import io
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from icedit_core.resample import resample

KINDS = ("pasted", "removed", "recoloured", "word")
FORMATS = ("same", "multiples of 16", "stretched", "cropped")
BUCKETS = (
    (1024, 1024),
    (1184, 880),
    (880, 1184),
    (1248, 832),
    (832, 1248),
    (1392, 752),
    (752, 1392),
)  # (width, height)
SHARES, ZOOM, SHIFT, COLOURS, BLUR = (0.01, 0.2), 0.02, 12.0, 0.06, 0.8
Codec = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Made:
    """One edit: pictures (H, W, 3) and (h, w, 3) in [0, 1]; scale and shift as in `Registration`."""

    kind: str
    format: str
    source: Tensor
    target: Tensor  # what the editor was asked for, on the source's pixels
    edit: Tensor  # what it returned
    scale: tuple[float, float]  # y, x
    shift: tuple[float, float]  # px of the source

    def misplaced(self, found) -> float:
        """Mean error of a `Registration` over the picture, px of the source."""
        errors = []
        for axis, (scale, shift) in enumerate(((found.scale_y, found.shift_y), (found.scale_x, found.shift_x))):
            at = torch.linspace(-0.5, 0.5, 65) * self.source.shape[axis]
            errors.append((scale - self.scale[axis]) * at + shift - self.shift[axis])
        return float((errors[0][:, None].square() + errors[1].square()).sqrt().mean())


def make(seed: int, source: Tensor, other: Tensor, codec: Codec) -> Made:
    """Edit `source` locally, with a part of `other` or without, and let the editor return it."""
    rng = random.Random(seed)
    kind, form = KINDS[seed % len(KINDS)], FORMATS[seed // len(KINDS) % len(FORMATS)]
    target = eight_bit(local(rng, kind, source, other))
    size = _size(form, (source.shape[0], source.shape[1]))
    down, across = size[0] / source.shape[0], size[1] / source.shape[1]
    zoom = 1 + rng.uniform(-ZOOM, ZOOM)
    fill = max(down, across) if form == "cropped" else 0.0
    scale = (zoom * (fill / down or 1), zoom * (fill / across or 1))
    length, angle = rng.uniform(0, SHIFT), rng.uniform(0, 2 * math.pi)
    shift = (length * math.sin(angle), length * math.cos(angle))
    edit = resample(target, _axis(target, size, scale, shift, 0), _axis(target, size, scale, shift, 1)).clamp(0, 1)
    edit = _blurred(edit, rng.uniform(0, BLUR))
    gain, offset = (torch.tensor([rng.uniform(-COLOURS, COLOURS) for _ in range(3)]) for _ in range(2))
    edit = codec((edit * (1 + gain) + offset).clamp(0, 1))
    return Made(kind, form, source, target, eight_bit(edit), scale, shift)


def jpeg(picture: Tensor) -> Tensor:
    """A stand-in for an autoencoder: a picture (H, W, 3) as JPEG at quality 80."""
    buffer = io.BytesIO()
    _image(picture).save(buffer, "JPEG", quality=80)
    return torch.from_numpy(np.array(Image.open(buffer).convert("RGB"))).float() / 255


def _axis(target: Tensor, size, scale, shift, axis: int) -> tuple[float, float, int]:
    """Where the returned pixels lie in the target: the inverse of `resample.positions`."""
    length, count = target.shape[axis], size[axis]
    step = length / count / scale[axis]
    return 0.5 * step + (-length / 2 - shift[axis]) / scale[axis] + length / 2 - 0.5, step, count


def _size(form: str, size: tuple[int, int]) -> tuple[int, int]:
    if form == "same":
        return size
    if form == "multiples of 16":
        return round(size[0] / 16) * 16, round(size[1] / 16) * 16
    width, height = min(BUCKETS, key=lambda b: abs(math.log(b[0] / b[1] * size[0] / size[1])))
    return height, width


def local(rng: random.Random, kind: str, source: Tensor, other: Tensor, shares: tuple[float, float] = SHARES) -> Tensor:
    """Edit a part of `source` of such a share; `other` is what is pasted."""
    height, width = source.shape[:2]
    radius = (rng.uniform(*shares) * height * width / math.pi) ** 0.5
    stretch = rng.uniform(0.8, 1.25)
    ry, rx = min(radius * stretch, 0.4 * height), min(radius / stretch, 0.4 * width)
    cy, cx = rng.uniform(ry + 0.08 * height, 0.92 * height - ry), rng.uniform(rx + 0.08 * width, 0.92 * width - rx)
    if kind == "word":
        return _written(rng, source, (cy - ry, cx - rx), ry)
    y, x = torch.arange(height)[:, None] - cy, torch.arange(width) - cx
    inside = ((y / ry).square() + (x / rx).square() < 1)[..., None]
    if kind == "pasted":
        new = F.interpolate(other.movedim(-1, 0)[None], (height, width), mode="bilinear", antialias=True)[0]
        return torch.where(inside, new.movedim(0, -1), source)
    if kind == "recoloured":
        return torch.where(inside, 0.7 * source[..., [1, 2, 0]] + 0.15, source)
    side = 2 * int(max(rx, ry)) + 1  # removed: what surrounds it, smoothed
    around = torch.cat([torch.where(inside, 0.0, source), (~inside).float()], dim=-1).movedim(-1, 0)[None]
    mean = F.avg_pool2d(F.pad(around, (side // 2,) * 4), side, stride=1)[0].movedim(0, -1)
    return torch.where(inside, mean[..., :3] / mean[..., 3:].clamp(min=1e-3), source)


def _written(rng: random.Random, source: Tensor, corner: tuple[float, float], height: float) -> Tensor:
    image = _image(source)
    font = ImageFont.load_default(size=max(16, int(height)))
    colour = tuple(rng.choice((10, 245)) for _ in range(3))
    ImageDraw.Draw(image).text((corner[1], corner[0]), "PLANE", fill=colour, font=font)
    return torch.from_numpy(np.array(image)).float() / 255


def _blurred(picture: Tensor, sigma: float) -> Tensor:
    at = torch.arange(-3.0, 4.0)
    kernel = torch.exp(-at.square() / (2 * max(sigma, 0.1) ** 2))
    kernel = kernel / kernel.sum()
    planes = F.pad(picture.movedim(-1, 0)[:, None], (3, 3, 3, 3), mode="replicate")
    return F.conv2d(F.conv2d(planes, kernel.view(1, 1, 1, 7)), kernel.view(1, 1, 7, 1))[:, 0].movedim(0, -1)


def _image(picture: Tensor) -> Image.Image:
    return Image.fromarray(np.round(picture.numpy() * 255).astype(np.uint8))


def eight_bit(picture: Tensor) -> Tensor:
    """The picture as a file of 8 bits has it."""
    return (picture.clamp(0, 1) * 255).round() / 255
