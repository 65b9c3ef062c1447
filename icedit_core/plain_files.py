"""Files of strangers, opened so that none blocks or fills the memory: regular files of bounded size, JSON of any depth.

Only the standard library is needed here.
"""

from __future__ import annotations

import json
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .foreign import line

JSON_BYTES = 16 << 20


def open_regular(path: Path, most: int) -> BinaryIO:
    """Open a file for reading, if it is a regular one of at most `most` bytes.

    A FIFO is opened without waiting for a writer, and looked at only once it is open, so it cannot be swapped between.

    Raises:
        ValueError: what is wrong with it, to be put behind the file's name.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        file = os.fdopen(os.open(path, flags), "rb")
    except OSError as error:
        raise ValueError(f"cannot be opened ({line(error.strerror or error)})") from None
    about = os.fstat(file.fileno())
    if stat.S_ISREG(about.st_mode) and about.st_size <= most:
        return file
    file.close()
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("is no regular file")
    raise ValueError(f"has {about.st_size} bytes, more than {most}")


def check_archive(file: BinaryIO, most: int, most_pickle: int) -> None:
    """Reject a zip archive, as torch.save writes one, whose parts unpack to more than `most` bytes; then rewind.

    Raises:
        ValueError: packed parts, or too much in all or in the pickle.
        zipfile.BadZipFile: no archive.
    """
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
    packed = [part.filename for part in parts if part.compress_type != zipfile.ZIP_STORED]
    pickles = sum(part.file_size for part in parts if part.filename.endswith(".pkl"))
    if packed or pickles > most_pickle or sum(part.file_size for part in parts) > most:
        raise ValueError("it is packed, or larger than such a file can be")
    file.seek(0)


def read_json(path: Path, most: int = JSON_BYTES) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ValueError: what is wrong with it, to be put behind the file's name.
    """
    with open_regular(path, most) as file:
        return json_object(file.read())  # a size to read would be allocated at once


def json_object(data: bytes) -> dict[str, Any]:
    """The JSON object in UTF-8 bytes.

    Raises:
        ValueError: what is wrong with it.
    """
    try:
        found = json.loads(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError as error:  # bad UTF-8, bad JSON, a number of too many digits
        raise ValueError(f"is no JSON in UTF-8 ({line(error)})") from None
    if not isinstance(found, dict):
        raise ValueError(f"is no JSON object, but a {type(found).__name__}")
    return found


def numbered_lines(file: BinaryIO, most: int) -> Iterator[tuple[int, bytes]]:
    """The lines of an open file with their numbers from 1, blank ones left out; none takes the memory.

    Yields:
        number and line; of a line longer than `most` bytes its first `most` + 1, the rest is passed over.
    """
    number = 0
    while read := file.readline(most + 1):
        number += 1
        if read.strip():
            yield number, read
        while len(read) > most and not read.endswith(b"\n"):
            read = file.readline(most + 1)
