"""Encoded pictures to RGB, or a plain word on why not."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps

from ...foreign import line
from ...picture_files import DAMAGE, MOST_BYTES, TooLarge, opened
from ...plain_files import open_regular
from .rows import BrokenRow

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
    except (_Unusable, TooLarge) as error:
        raise BrokenRow(key, f"the {name} {error}") from None
    except DAMAGE as error:
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
    with opened(data) as image:
        image.load()
        return _rgb(ImageOps.exif_transpose(image))


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
