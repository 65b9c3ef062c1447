"""Pictures as a judge sees them: 8 bit, and no larger than a model looks at."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..pixels import eight_bit

SIDE = 1024  # px: a model of 7B looks at about a million pixels; a photograph of 12 costs seconds and says no more


def shown(picture: Tensor, side: int = SIDE) -> Image.Image:
    """A picture of at most `side` px on its longer side; smaller ones keep every pixel.

    Args:
        picture: (H, W, 3 or 4) in [0, 1]; alpha is left out.
    """
    height, width = picture.shape[:2]
    image = Image.fromarray(eight_bit(picture).numpy())
    scale = side / max(height, width)
    if scale >= 1:
        return image
    return image.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.LANCZOS)


def made_small(picture: Tensor, side: int) -> Tensor:
    """`shown` as a tensor, (H, W, 3) in [0, 1]; the picture itself if it is small enough."""
    if max(picture.shape[:2]) <= side:
        return picture
    return torch.from_numpy(np.array(shown(picture, side))).float() / 255


def part(picture: Tensor, side: int = SIDE) -> dict[str, Any]:
    """The same as a chat message takes it: PNG in a data URL."""
    buffer = io.BytesIO()
    shown(picture, side).save(buffer, "PNG", compress_level=1)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
