"""The source's own pixels wherever an edit changed nothing, for the picture of any editor.

The edit is brought onto its source (registration.py), its colours are fitted on what it did not edit (colour.py), what
it changed is found (edited.py) and cut out along the source's edges (cutout.py). Of a diptych the registration is
known and the left panel is given, so `restore` finds the change by `change`; `cut_out` and `paste` are for both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from . import cutout
from .allowed import check_mask
from .colour import Colours
from .colour import fit as fit_colours
from .edited import edited as edited_patches
from .edited import unclipped, whole
from .keep_words import Found
from .pixels import check_image, feather, grow, resize
from .registration import align, register

WHO = "ICEdit Keep Unedited"
WORKING = 1_000_000  # pixels in which changes are looked for; the border is cut at the source's own resolution
LIGHT, UNTOUCHED = 0.03, 0.002  # drift of the colours that is the edit, if no more than this share changed otherwise
LOOKS = 2  # at most, each with the colours that the unedited part of the last one has
LATENT = 16  # px: sides of what an autoencoder is given are multiples of it

Codec = Callable[[Tensor], Tensor]


class Cut(NamedTuple):
    """How an edit is cut out: `threshold` of the change, a factor; `grow` and `feather` in px of the source."""

    threshold: float = 1.0
    grow: int = 0
    feather: int = 0

    def check(self, who: str) -> None:
        """Raise ValueError for values out of range."""
        if not self.threshold > 0 or self.feather < 0:
            raise ValueError(
                f"{who}: threshold {self.threshold:g} and feather {self.feather}, but a threshold above 0 and a "
                "feather of 0 or more are needed. The defaults are 1 and 0."
            )


class Kept(NamedTuple):
    image: Tensor
    mask: Tensor
    report: tuple[str, ...]


def keep(
    source: Tensor,
    edit: Tensor,
    mask: Tensor | None = None,
    codec: Codec | None = None,
    cut: Cut = Cut(),  # noqa: B008 (a tuple)
    colour: float = 1.0,
    step: Callable[[], None] = lambda: None,
) -> Kept:
    """Keep the source's pixels where an edit changed nothing.

    Args:
        source: (B, H, W, 3 or 4) in [0, 1].
        edit: (k x B, h, w, 3 or 4) in [0, 1], of any size; edit i belongs to source i % B.
        mask: (B or 1, H, W) in [0, 1] of what may change. Where given it decides, and nothing else is looked at.
        codec: decodes what it encodes, (1, h, w, 3), sides multiples of 16; what an editor's autoencoder loses.
        colour: how far the edited pixels are given the source's colours, where the editor shifted them all, 0 to 1.
        step: called between steps; may raise to stop.
    Returns:
        image: (k x B, H, W, C), size, dtype and alpha of the source; where mask is 0, the source bit for bit.
        mask: (k x B, H, W) float32, 0 = source, 1 = edit.
        report: for each edit, how it was brought onto the source and how much changed.
    Raises:
        ValueError: sizes, counts or values that do not belong together.
    """
    _check(source, edit, cut, colour)
    allowed, report = check_mask(WHO, source, mask, "resize")
    image = source.repeat(len(edit) // len(source), 1, 1, 1)
    weights = torch.zeros(image.shape[:3], device=source.device)
    codecs = [None if codec is None else _once(codec) for _ in source]
    for i in range(len(edit)):
        index = i % len(source)
        before, after = source[index, ..., :3].float().clamp(0, 1), edit[i, ..., :3].to(source.device).float()
        may = None if allowed is None else allowed[index]
        found, edited = find_edit(before, after.clamp(0, 1), may, codecs[index], cut, step)
        step()
        edited = found.colours.apply(edited, colour)
        paste(image[i], edited, found.weight)
        weights[i] = found.weight
        report.append(found.words())
    return Kept(image, weights, tuple(report))


def cut_out(
    found: Tensor,
    source: Tensor,
    edited: Tensor,
    cut: Cut,
    enlarged: float = 1.0,
    step: Callable[[], None] = lambda: None,
) -> Tensor:
    """Cut a found change out at the source's full resolution.

    Args:
        found: (1, h, w) the change, at the size in which it was looked for.
        source, edited: (1, H, W, 3) in [0, 1].
        enlarged: how many times the edit was enlarged to the source's size.
        step: called now and then; may raise to stop.
    Returns:
        (1, H, W) in [0, 1], how much of the edit each pixel takes.
    """
    size = (source.shape[1], source.shape[2])
    if tuple(found.shape[1:]) != size:  # a larger picture gets an edit one pixel of the change soft
        found = F.interpolate(found[:, None], size, mode="bilinear", antialias=True)[:, 0].clamp(0, 1)
    if enlarged > 1:  # else nothing is blurred by it
        found = cutout.fit(found, source, edited, enlarged, step)
    return feather(grow(found, cut.grow), cut.feather)


def paste(base: Tensor, edited: Tensor, weight: Tensor) -> None:
    """Blend an edit (H, W, 3) into `base` (H, W, C) in place; where the weight (H, W) is 0 no bit changes."""
    if weight.any():
        region, weight = base[..., :3], weight[..., None]
        blended = torch.lerp(region.float(), edited, weight).to(base.dtype)
        # Chosen, not multiplied: a blend with weight 0 need not give the same bits.
        region.copy_(torch.where(weight == 0, region, blended))


def find_edit(
    source: Tensor, edit: Tensor, allowed: Tensor | None, codec: Codec | None, cut: Cut, step: Callable[[], None]
) -> tuple[Found, Tensor]:
    """What one edit changed, and the edit on the source's pixels (H, W, 3)."""
    size = (source.shape[0], source.shape[1])
    step()
    place = register(source, edit)
    step()
    edited, coverage = align(edit, place, size)
    if allowed is not None:
        weight = torch.minimum(feather(allowed[None], cut.feather)[0], coverage)
        colours = fit_colours(source, edited, coverage * (allowed == 0)) if place.trusted else Colours()
        return Found(weight, place, colours, "mask"), edited
    if not place.trusted:
        return Found(torch.ones_like(coverage), place, Colours(), "lost"), edited
    step()
    found, colours = _look(source, edited, coverage, _working(source, edit), codec, cut, step)
    light = found.mean() <= UNTOUCHED and max(abs(v) for v in colours.drift) >= LIGHT
    if light or found.all():
        if place.crop is None:
            edited = resize(edit[None], (size[1], size[0]))[0]
        return Found(torch.ones_like(coverage), place, Colours(), "whole"), edited
    step()
    enlarged = max(1.0, (size[0] * size[1] / (found.shape[1] * found.shape[2])) ** 0.5)
    weight = cut_out(found, source[None], colours.apply(edited)[None], cut, enlarged, step)[0]
    return Found(torch.minimum(weight, coverage), place, colours, "part"), edited


def _working(source: Tensor, edit: Tensor) -> tuple[int, int]:
    """The size (width, height) in which changes are looked for: no more than either picture or `WORKING` has."""
    height, width = source.shape[:2]
    share = min(1.0, (min(WORKING, edit.shape[0] * edit.shape[1]) / (height * width)) ** 0.5)
    return max(1, round(width * share)), max(1, round(height * share))


def _look(
    source: Tensor,
    aligned: Tensor,
    coverage: Tensor,
    size: tuple[int, int],
    codec: Codec | None,
    cut: Cut,
    step: Callable[[], None],
) -> tuple[Tensor, Colours]:
    """Find the change (1, h, w) at a working size, and the colours that the unedited rest has."""
    small, right = resize(source[None], size), resize(aligned[None], size)
    cover = F.adaptive_avg_pool2d(coverage[None, None], (size[1], size[0]))[0] > 0.999
    right = torch.where(cover[..., None], right, small)
    coded = None if codec is None else _coded(small, codec)
    step()
    colours = fit_colours(small[0], right[0], cover[0].float())
    found = torch.zeros_like(cover, dtype=torch.float32)
    for _ in range(LOOKS):
        plain = torch.where(cover[..., None], unclipped(small, right, colours.apply(right)), small)
        found = edited_patches(small[0], plain[0], cut.threshold, None if coded is None else coded[0], step)[None]
        step()
        if whole(small[0], found[0]):
            found = torch.ones_like(found)
            break
        before, colours = colours, fit_colours(small[0], right[0], cover[0] * (1 - found[0]))
        if _alike(before, colours):
            break
    return found, colours


def _alike(one: Colours, other: Colours) -> bool:
    pairs = zip(one.gain + one.offset, other.gain + other.offset, strict=True)
    return all(abs(a - b) < 1 / 255 for a, b in pairs)


def _once(codec: Codec) -> Codec:
    """Ask the codec of one source once for each size: its edits share the answer."""
    answers: dict[torch.Size, Tensor] = {}

    def through(image: Tensor) -> Tensor:
        if image.shape not in answers:
            answers[image.shape] = codec(image)
        return answers[image.shape]

    return through


def _coded(source: Tensor, codec: Codec) -> Tensor:
    """The source (1, h, w, 3) as the autoencoder gives it back: the left panel that other editors lack."""
    height, width = source.shape[1:3]
    w, h = (max(LATENT, round(length / LATENT) * LATENT) for length in (width, height))
    return resize(codec(resize(source, (w, h))).to(source.device), (width, height))


def _check(source: Tensor, edit: Tensor, cut: Cut, colour: float) -> None:
    check_image(WHO, source, "source")
    check_image(WHO, edit, "edit")
    cut.check(WHO)
    if len(edit) % len(source):
        raise ValueError(
            f"{WHO}: {len(edit)} edits for {len(source)} sources, but a multiple of {len(source)} is needed. "
            "Pass one edit, or several, for each source."
        )
    if not 0 <= colour <= 1:
        raise ValueError(f"{WHO}: colour is {colour:g}, but 0 to 1 is needed. The default is 1.")
