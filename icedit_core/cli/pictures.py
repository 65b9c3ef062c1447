"""Pictures as files: what a server sent is checked to be one, what the user gives is looked at before it goes out."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Ending of a file -> format of the picture in it."""
MOST_PIXELS = 12 * 2**20  # of a picture that is written in another format than it came in; WebP takes 16 bytes for each
MOST_BYTES = 2**27  # of its file
QUALITY = 95
PIECE = 2**16
HEAD = 2**20  # bytes of the user's file in which its description lies
_PNG = b"\x89PNG\r\n\x1a\n"
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
_TILED = re.compile(rb"infe.{4}(?:..|....)..grid", re.DOTALL)
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)  # what Pillow raises for a damaged or a huge file


def kind(file: Path) -> str:
    """The format of the picture in a file that a server sent: PNG, JPEG or WEBP.

    A PNG is followed to its last chunk and its checksums are computed, without unpacking it.

    Raises:
        ValueError: it is no picture, or not a whole one.
    """
    with file.open("rb") as stream:
        head = stream.read(16)
        size = file.stat().st_size
        if head.startswith(_PNG):
            _follow_png(stream)
            return "PNG"
        if head.startswith(b"\xff\xd8\xff"):
            stream.seek(-2, io.SEEK_END)
            if stream.read() == b"\xff\xd9":
                return "JPEG"
            raise ValueError("it is a JPEG without an end")
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            if int.from_bytes(head[4:8], "little") + 8 == size:
                return "WEBP"
            raise ValueError("it is a WebP file of another length than it says")
    raise ValueError("it is no picture" if size else "it is empty")


def converted(file: Path, wanted: str) -> bytes:
    """The picture in a file that a server sent, in another format; a JPEG drops transparency.

    Raises:
        ValueError: it is damaged or too large.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"its file is larger than {MOST_BYTES // 2**20} MB")
        with quietly(), Image.open(file, formats=tuple(set(FORMATS.values()))) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"it has {image.width}x{image.height} px; name a .png file to take it as it is")
            mode = "RGBA" if wanted != "JPEG" and "A" in image.getbands() else "RGB"
            image.load()
            picture = image if image.mode == mode else image.convert(mode)
            packed = io.BytesIO()
            picture.save(packed, wanted, **({} if wanted == "PNG" else {"quality": QUALITY}))
    except _BROKEN as problem:
        raise ValueError(f"it cannot be written as {wanted} ({problem})") from None
    return packed.getvalue()


def refuse_tiles(file: Path) -> None:
    """Refuse a HEIC or AVIF file whose picture is made of tiles: ComfyUI reads the first tile alone.

    Raises:
        ValueError: it is one.
    """
    with file.open("rb") as stream:
        head = stream.read(HEAD)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF and _TILED.search(head):
        raise ValueError(
            f"{file} is a HEIC or AVIF picture in tiles, but ComfyUI reads only the first tile of such a file. "
            "Save it as PNG or JPEG and give that."
        )


def is_transparent(file: Path) -> bool:
    """Whether any part of the user's picture is transparent; False if Pillow cannot read it."""
    try:
        with quietly(), Image.open(file) as image:
            if "A" not in image.getbands() and "transparency" not in image.info:
                return False
            low, _ = image.convert("RGBA").getchannel("A").getextrema()
            return bool(low < 255)
    except _BROKEN:
        return False


@contextmanager
def quietly() -> Iterator[None]:
    """Pillow's warnings quote what is in the file; the one of a huge picture is an error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _follow_png(stream: BinaryIO) -> None:
    stream.seek(len(_PNG))
    first = True
    while True:
        length, name = _unpack_chunk(stream.read(8))
        if first and (name != b"IHDR" or length != 13):
            raise ValueError("it is a PNG without a header")
        start = stream.tell()
        checksum = zlib.crc32(name)
        while length > 0:
            piece = stream.read(min(length, PIECE))
            if not piece:
                raise ValueError("it is a PNG that breaks off")
            checksum = zlib.crc32(piece, checksum)
            length -= len(piece)
        if stream.read(4) != checksum.to_bytes(4, "big"):
            raise ValueError("it is a damaged PNG")
        if first:
            end = stream.tell()
            stream.seek(start)
            if 0 in struct.unpack(">II", stream.read(8)):
                raise ValueError("it is a PNG without pixels")
            stream.seek(end)
        first = False
        if name == b"IEND":
            break
    if stream.read(1):
        raise ValueError("it is a PNG with something else behind it")


def _unpack_chunk(head: bytes) -> tuple[int, bytes]:
    if len(head) < 8:
        raise ValueError("it is a PNG that breaks off")
    return int.from_bytes(head[:4], "big"), head[4:]
