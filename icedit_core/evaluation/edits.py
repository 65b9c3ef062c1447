"""Metrics of edits on the canvas: each edit beside its source, what was left out and why, and a report in words."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from ..allowed import check_mask
from ..pixels import check_image
from . import metrics
from .metrics.models import Models
from .metrics.pair import paired

WHO = "ICEdit Metrics"
FILES = ("pixels", "quality", "masked", "unedited", "clip", "dino", "structure")
VALUES = (
    "l1", "l2", "psnr", "ssim", "lpips", "psnr_masked", "ssim_masked", "mse_masked", "lpips_masked", "changed_share",
    "psnr_found", "ssim_found", "clip_i", "clip_t", "clip_dir", "dino", "structure_distance",
)  # fmt: skip
"""What the metrics of FILES can give."""


@dataclass(frozen=True)
class Measured:
    """One edit: its values, what was left out, and its size (width, height) before it was resized."""

    values: dict[str, float]
    left: list[str]
    size: tuple[int, int]


@dataclass(frozen=True)
class Given:
    """What edits are compared with, beside their sources.

    Attributes:
        target: (B or 1, h, w, 3 or 4) in [0, 1], the edits as they should be.
        mask: (B or 1, H, W) in [0, 1] of the source's size: above a half may change.
        captions: of source and edit; both or none.
    """

    target: Tensor | None = None
    mask: Tensor | None = None
    captions: tuple[str, str] = ("", "")


def measure(
    source: Tensor, edit: Tensor, given: Given, models: Models, step: Callable[[], None] = lambda: None
) -> list[Measured]:
    """Measure every edit as `icedit eval --protocol folder` measures the saved pictures.

    Args:
        source: (B, H, W, 3 or 4) in [0, 1].
        edit: (k x B, h, w, 3 or 4) in [0, 1], of any size; edit i belongs to source i % B.
        step: called before each edit; may raise to stop.
    Raises:
        ValueError: counts, sizes or captions that do not belong together.
    """
    masks, captions = _checked(source, edit, given)
    found = []
    for index in range(len(edit)):
        step()
        place = index % len(source)
        picture = as_saved(edit[index])
        target = None if given.target is None else as_saved(given.target[place % len(given.target)])
        mask = None if masks is None else Image.fromarray((masks[place] > 0.5).cpu().numpy().astype(np.uint8) * 255)
        pair = paired(as_saved(source[place]), picture, target, mask, captions)
        values, left = metrics.measure(pair, models, FILES)
        found.append(Measured(values, left, picture.size))
    return found


def chosen(found: Sequence[Measured], name: str) -> list[float]:
    """One value of each edit; NaN where an edit does not have it.

    Raises:
        ValueError: no edit has it.
    """
    values = [one.values.get(name, math.nan) for one in found]
    if all(math.isnan(value) for value in values):
        why = "; ".join(dict.fromkeys(reason for one in found for reason in one.left)) or "every pixel changed"
        raise ValueError(f"{WHO}: metric is {name}, but no edit has it ({why}). Give what it needs, or choose another.")
    return values


def means(found: Sequence[Measured]) -> dict[str, float]:
    """The mean of each value over the edits that have it, in the order of VALUES."""
    every = {name: [one.values[name] for one in found if name in one.values] for name in VALUES}
    return {name: sum(values) / len(values) for name, values in every.items() if values}


def report(found: Sequence[Measured]) -> str:
    """A line for each edit, their means if there are several, and what was left out of how many."""
    lines = [f"edit {index}: {_line(one.values)}" for index, one in enumerate(found)]
    if len(found) > 1:
        lines.append(f"mean of {len(found)} edits: {_line(means(found))}")
    for why, count in Counter(why for one in found for why in one.left).items():
        lines.append(f"left out of {count} of {len(found)} edits: {why}")
    return "\n".join(lines)


def numbers(found: Sequence[Measured], given: Given, models: Models) -> str:
    """The same as JSON, with the hashes of the weights that measured."""
    edits = [{"metrics": one.values, "left_out": one.left, "size": list(one.size)} for one in found]
    whole = {
        "against": "source" if given.target is None else "target",
        "edits": edits,
        "mean": means(found),
        "left_out": Counter(why for one in found for why in one.left),
        "weights": models.hashes(),
    }
    return json.dumps(whole, allow_nan=False, indent=1)


def as_saved(picture: Tensor) -> Image.Image:
    """The picture (H, W, 3 or 4) as the host's SaveImage writes it, without its transparency."""
    return Image.fromarray((picture[..., :3].float() * 255).clamp(0, 255).byte().cpu().numpy())


def _line(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def _checked(source: Tensor, edit: Tensor, given: Given) -> tuple[Tensor | None, tuple[str, str] | None]:
    """The masks (B, H, W) and the captions, or None."""
    for name, batch in (("source", source), ("edit", edit), ("target", given.target)):
        if batch is not None:
            check_image(WHO, batch, name)
    if not len(edit) or len(edit) % len(source):
        raise ValueError(
            f"{WHO}: {len(edit)} edits for {len(source)} sources, but the same number, at least one, for each source "
            "is needed. Connect all of them."
        )
    if given.target is not None and len(given.target) not in (1, len(source)):
        raise ValueError(
            f"{WHO}: {len(given.target)} targets for {len(source)} sources, but one, or one for each, is needed. "
            "Connect as many as there are sources."
        )
    captions = tuple(caption.strip() for caption in given.captions)
    if any(captions) and not all(captions):
        raise ValueError(
            f"{WHO}: a caption of the {'source' if captions[0] else 'edit'} alone, but both or none are needed. "
            "Write the other one, or clear it."
        )
    return check_mask(WHO, source, given.mask, "resize")[0], (captions[0], captions[1]) if all(captions) else None
