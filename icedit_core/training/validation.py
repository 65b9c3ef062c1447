"""Validation pictures: rows that are never trained on, painted with the weights of the moment."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..panels import left, right
from ..whole_files import write_whole
from .base import Base
from .cache import Cache
from .config import Validation
from .objective import velocity

GAP = 4  # px between pictures
COLUMNS = ("before", "edit", "after")


def schedule(steps: int, tokens: int) -> list[float]:
    """The published pipeline's sigmas, steps + 1 of them, falling from 1 to 0.

    Source: FLUX's resolution-dependent shift, mu linear from 0.5 at 256 image tokens to 1.15 at 4096.
    """
    mu = 0.5 + (1.15 - 0.5) * (tokens - 256) / (4096 - 256)
    spaced = torch.linspace(1, 1 / steps, steps, dtype=torch.float64).tolist()
    return [math.exp(mu) / (math.exp(mu) + 1 / s - 1) for s in spaced] + [0.0]


@torch.no_grad()
def sample(
    model: Callable[..., Tensor], batch: dict[str, Tensor], noise: Tensor, steps: int, guidance: float
) -> Tensor:
    """Euler from noise to latents.

    Args:
        model: see `objective.velocity`.
        batch: `condition`, `states`, `pooled`.
        noise: (B, 16, h, w).
    Returns:
        latents of the whole diptych (B, 16, h, w).
    """
    x = noise
    sigmas = schedule(steps, noise.shape[-1] * noise.shape[-2] // 4)
    for now, following in itertools.pairwise(sigmas):
        t = torch.full((len(x),), now, device=x.device)
        x = x + (following - now) * velocity(model, x, t, batch, guidance)
    return x


def paint(
    model: Callable[..., Tensor],
    base: Base,
    cache: Cache,
    rows: Sequence[int],
    settings: Validation,
    to_device: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    words: Sequence[str] = (),
) -> Image.Image:
    """One strip a row: source | edit | target, source and target as the autoencoder gives them back.

    `words` are the rows' instructions, written over their strips.

    A row's starting noise depends on the seed and its place alone, so that pictures of different steps compare.
    """
    strips = []
    for place, row in enumerate(rows):
        batch = to_device(cache.batch(torch.tensor([row])))
        noise = torch.randn(batch["target"].shape, generator=torch.Generator().manual_seed(settings.seed + place))
        edit = sample(model, batch, noise.to(batch["target"].device), settings.steps, settings.guidance)
        truth, made = (base.decode_latents(latents)[0].cpu() for latents in (batch["target"].float(), edit))
        strips.append([left(truth), right(made), right(truth)])
    return _sheet(strips, words)


def _sheet(strips: list[list[Tensor]], words: Sequence[str]) -> Image.Image:
    """Pictures (3, H, W) in [0, 1] as rows and columns with a white gap, named above and each row with its words."""
    _, h, w = strips[0][0].shape
    size = max(11, h // 24)
    font, line = ImageFont.load_default(size), round(size * 1.5)
    width = len(strips[0]) * (w + GAP) - GAP
    said = [_lines(words[i] if i < len(words) else "", font, width - 2 * GAP) for i in range(len(strips))]
    tops = list(itertools.accumulate((line * len(lines) + h + GAP for lines in said), initial=line))
    sheet = Image.new("RGB", (width, tops[-1] - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for j, name in enumerate(COLUMNS):
        draw.text((j * (w + GAP) + GAP, line // 8), name, "grey", font)
    for strip, lines, top in zip(strips, said, tops, strict=False):
        for k, text in enumerate(lines):
            draw.text((GAP, top + k * line + line // 8), text, "black", font)
        for j, picture in enumerate(strip):
            pixels = (picture.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
            sheet.paste(Image.fromarray(pixels), (j * (w + GAP), top + line * len(lines)))
    return sheet


def _lines(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """The words in lines of at most `width` px, one line at least; a longer word has a line of its own."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a PNG in one go."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda beside: picture.save(beside))
