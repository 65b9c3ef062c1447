"""An edit with what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor


@dataclass
class Pair:
    """Pictures (H, W, 3) float32 in [0, 1]; `reference` is the target or the source, as the protocol says.

    Attributes:
        source, edit: of the source's size.
        reference, compared: the edit again, of the reference's size.
        target: of the source's size, or None.
        mask: (H, W) bool of the source's size, True may change; None where there is none.
        captions: of source and edit.
    """

    source: Tensor
    edit: Tensor
    reference: Tensor
    compared: Tensor
    target: Tensor | None = None
    mask: Tensor | None = None
    captions: tuple[str, str] | None = None


def paired(
    source: Image.Image,
    edit: Image.Image,
    target: Image.Image | None = None,
    mask: Image.Image | None = None,
    captions: tuple[str, str] | None = None,
    against_target: bool = True,
) -> Pair:
    """The pair of RGB pictures of any sizes.

    Args:
        target: the edit as it should be; where it is there and `against_target`, what the edit is compared with.
        mask: mode L, of the source's size: white may change.
        captions: of source and edit.
    """
    reference = target if target is not None and against_target else source
    return Pair(
        tensor(source),
        tensor(sized(edit, source.size)),
        tensor(reference),
        tensor(sized(edit, reference.size)),
        None if target is None else tensor(sized(target, source.size)),
        None if mask is None else torch.from_numpy(np.array(mask) > 127),
        captions,
    )


def tensor(image: Image.Image) -> Tensor:
    """(H, W, 3) float32 in [0, 1] of an RGB picture."""
    return torch.from_numpy(np.array(image.convert("RGB"), dtype=np.float32) / 255)


def planes(picture: Tensor) -> Tensor:
    """(1, 3, H, W), as torchmetrics takes it."""
    return picture.movedim(-1, 0)[None]


def sized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture at a size (width, height), by Pillow's bicubic."""
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)


def right_square(image: Image.Image, side: int = 512) -> Image.Image:
    """The right lower square of a picture that is none: the last panel of a strip.

    Source: cure-lab/PnPInversion, evaluation/evaluate.py.
    """
    width, height = image.size
    return image if width == height else image.crop((width - side, height - side, width, height))
