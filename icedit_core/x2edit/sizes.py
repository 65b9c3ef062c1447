"""X2Edit's picture sizes, and the row at which its source tokens stand.

Source: X2Edit, arXiv 2508.07607; the buckets and offsets of the published `infer.py`.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate

BUCKETS = (
    (720, 1456), (752, 1392), (784, 1312), (832, 1248), (880, 1184), (944, 1104), (1024, 1024),
    (1104, 944), (1184, 880), (1248, 832), (1312, 784), (1392, 752), (1456, 720),
)  # fmt: skip
"""(height, width) in pixels that the adapter was trained at."""
LARGE = 700_000  # pixels; published are 1024 x 1024 or its buckets with 128 rows, 512 x 512 with 64


def bucket(height: int, width: int) -> tuple[int, int]:
    """The bucket (height, width) whose aspect, height / width, is nearest."""
    return min(BUCKETS, key=lambda size: abs(size[0] / size[1] - height / width))


def stretched(image: Tensor) -> Tensor:
    """The picture at its bucket's size, as the published inference resizes it; training cropped instead.

    Args:
        image: (B, H, W, C) in [0, 1].
    Returns:
        (B, height, width, C) in [0, 1].
    """
    size = bucket(image.shape[1], image.shape[2])
    if size == (image.shape[1], image.shape[2]):
        return image
    resized = interpolate(image.movedim(-1, 1), size, mode="bilinear", antialias=True)
    return resized.movedim(1, -1).clamp(0, 1)


def row_offset(height: int, width: int) -> int:
    """Token rows by which a source of so many pixels is moved down."""
    return 128 if height * width >= LARGE else 64
