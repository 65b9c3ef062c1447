"""Encoded pictures to RGB, or a plain word on why not."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

from PIL import Image, ImageOps

from .rows import BrokenRow

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
        with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as opened:
            opened.load()
            image = ImageOps.exif_transpose(opened)
            return _rgb(image)
    except FileNotFoundError:
        raise BrokenRow(key, f"the {name} file is missing: {data!s}") from None
    except _Unusable as error:
        raise BrokenRow(key, f"the {name} {error}") from None
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise BrokenRow(key, f"the {name} cannot be decoded: {_told(error)}") from None


class _Unusable(Exception):
    pass


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode not in RGB_MODES:
        raise _Unusable(f"is of mode {image.mode}, but 8 bits a channel are needed")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise _Unusable("has transparent pixels; flatten it")
    return image.convert("RGB")


def _told(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return "no picture format is recognised" if "cannot identify image file" in text else text
