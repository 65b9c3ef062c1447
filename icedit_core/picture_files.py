"""Pictures of strangers, opened with limits, in formats that Pillow decodes itself: others start programs, as EPS does.

Only Pillow is needed here.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

MOST_BYTES = 256 << 20  # of a file
MOST_PIXELS = 89_478_485  # from here on Pillow warns of a decompression bomb
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "TIFF", "BMP", "PPM", "TGA", "JPEG2000", "AVIF")
DAMAGE = (
    OSError, SyntaxError, ValueError, IndexError, EOFError, struct.error, zlib.error,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip
"""What Pillow's decoders raise on damaged and on huge files."""


class TooLarge(Exception):
    """A picture of more than `MOST_PIXELS`; says how many."""


@contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """The picture in a file's bytes, not yet decoded.

    Of an open file Python's read allocates what a damaged picture claims to hold; of bytes only what is there.

    Raises:
        TooLarge, or one of `DAMAGE`.
    """
    Image.init()
    with Image.open(io.BytesIO(data), formats=[kind for kind in FORMATS if kind in Image.OPEN]) as image:
        if image.width * image.height > MOST_PIXELS:
            raise TooLarge(f"is {image.width}x{image.height} px, more than {MOST_PIXELS} pixels")
        yield image
