"""Pictures with words below them, in one sheet, as tensors."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .captioned import COLUMNS, lay_out
from .pixels import eight_bit


def sheet(pictures: list[Tensor], captions: list[str], columns: int = COLUMNS) -> Tensor:
    """Lay pictures out in rows with a caption below each.

    Args:
        pictures: (H, W, 3 or more) in [0, 1], any sizes.
        captions: one each; longer ones are cut at the end of the fourth line.
    Returns:
        (1, H, W, 3) float32 in [0, 1].
    """
    images = (Image.fromarray(eight_bit(picture).numpy()) for picture in pictures)
    canvas = lay_out(zip(images, captions, strict=True), len(pictures), columns)
    return torch.from_numpy(np.asarray(canvas, dtype=np.float32) / 255)[None]
