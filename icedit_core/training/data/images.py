"""Encoded pictures to RGB, or a plain word on why not."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

from PIL import Image, ImageOps

from ...foreign import line
from ...plain_files import open_regular
from .rows import BrokenRow

MOST_BYTES = 256 << 20  # of a file
MOST_PIXELS = 89_478_485  # from here on Pillow warns of a decompression bomb
# Those that Pillow decodes itself: others start programs, as EPS does.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "TIFF", "BMP", "PPM", "TGA", "JPEG2000", "AVIF")

# What Pillow's decoders raise on damaged files.
DAMAGE = (OSError, SyntaxError, ValueError, IndexError, EOFError, struct.error, zlib.error)
RGB_MODES = ("RGB", "L", "1", "P", "RGBA", "LA", "PA", "CMYK", "YCbCr", "HSV", "LAB")


def decode(key: str, name: str, data: bytes | Path) -> Image.Image:
    """A picture as RGB, turned as its EXIF says.

    Grey, palette and CMYK pictures are converted; an alpha channel is dropped if it is opaque everywhere.

    Args:
        key: the row, for errors.
        name: which of its pictures, for errors.
        data: an encoded picture, or the file that holds one.
    Raises:
        BrokenRow: it cannot be decoded to its last row, has transparent pixels (what colour they have is a matter of
            taste: flatten it), or has more than 8 bits a channel.
    """
    try:
        return _decoded(data if isinstance(data, bytes) else _read(data))
    except _Unusable as error:
        raise BrokenRow(key, f"the {name} {error}") from None
    except (*DAMAGE, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BrokenRow(key, f"the {name} cannot be decoded: {_told(error)}") from None


class _Unusable(Exception):
    pass


def _read(path: Path) -> bytes:
    if not path.exists():
        raise _Unusable(f"file is missing: {line(path)}")
    try:
        with open_regular(path, MOST_BYTES) as file:
            return file.read()
    except ValueError as error:
        raise _Unusable(f"cannot be decoded: {line(path.name)} {error}") from None


def _decoded(data: bytes) -> Image.Image:
    # Of an open file Python's read allocates what a damaged picture claims to hold; of bytes only what is there.
    Image.init()
    with Image.open(io.BytesIO(data), formats=[kind for kind in FORMATS if kind in Image.OPEN]) as opened:
        if opened.width * opened.height > MOST_PIXELS:
            raise _Unusable(f"is {opened.width}x{opened.height} px, more than {MOST_PIXELS} pixels")
        opened.load()
        return _rgb(ImageOps.exif_transpose(opened))


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode not in RGB_MODES:
        raise _Unusable(f"is of mode {image.mode}, but 8 bits a channel are needed")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise _Unusable("has transparent pixels; flatten it")
    return image.convert("RGB")


def _told(error: Exception) -> str:
    text = line(str(error) or type(error).__name__)
    return "no picture format is recognised" if "cannot identify image file" in text else text
