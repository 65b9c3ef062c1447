"""Where pictures go on this machine: under the user's names and endings, whole or not at all, nothing else replaced."""

from __future__ import annotations

import os
import secrets
import unicodedata
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from . import pictures

ENDING = ".png"  # of what gets its name here: ComfyUI's SaveImage and PreviewImage write PNG
NAME = "icedit"
LONGEST = 60  # letters of a server's name that are taken
MOST_NUMBERS = 10_000
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10))}


class Target:
    """The file for one picture.

    Args:
        like: a file in the same folder with the same ending.
        files: names for it, the first that is free is taken.
        replaced: the file that the user named and that may be replaced.
    """

    def __init__(self, like: Path, files: Iterable[Path], replaced: Path | None = None) -> None:
        self._like = like
        self._files = files
        self._replaced = replaced

    async def save(self, pieces: AsyncIterator[bytes]) -> tuple[Path, bool]:
        """Write what comes beside the file, check that it is a whole picture, and give it its name.

        Returns:
            the file, and whether it was replaced.
        Raises:
            ValueError: what came is no picture, or the name is taken.
            OSError: it cannot be written; nothing of it is left.
        """
        part = self._like.with_name(f".{NAME}-{secrets.token_hex(8)}.part")
        try:
            with open(part, "xb") as stream:  # created anew: no link is followed
                async for piece in pieces:
                    stream.write(piece)
            wanted = pictures.FORMATS[self._like.suffix.lower()]
            if pictures.kind(part) != wanted:
                part.write_bytes(pictures.converted(part, wanted))
            return self._rename(part)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def _rename(self, part: Path) -> tuple[Path, bool]:
        if self._replaced is not None and os.path.lexists(self._replaced):
            os.replace(part, self._replaced)  # a link is replaced itself, not what it leads to
            return self._replaced, True
        for file in self._files:
            with suppress(FileExistsError):
                _claim(file)
                try:
                    os.replace(part, file)
                except OSError:
                    file.unlink()
                    raise
                return file, False
        raise ValueError(f"{self._like} is there already. Name another file, or add --overwrite.")


def targets(out: Path | None, image: Path, names: list[str], *, overwrite: bool) -> list[Target]:
    """A file for each picture.

    Args:
        out: OUT as given: a file (numbered if there are several pictures), a folder, or None for a name after `image`.
        names: what the server calls the pictures; in a folder they keep as much of it as cannot do harm.
        overwrite: whether OUT itself may be replaced; other files never are.
    """
    if out is not None and not is_folder(out):
        if len(names) == 1:
            return [Target(out, [out], out if overwrite else None)]
        shared = _numbered(out, 1)
        return [Target(out, shared) for _ in names]
    if out is None:
        files = [Path(f"{image.stem[:LONGEST]}_{NAME}{ENDING}")] * len(names)
    else:
        files = [out / f"{safe_stem(name)}{ENDING}" for name in names]
    return [Target(file, chain([file], _numbered(file, 2))) for file in files]


def _numbered(file: Path, first: int) -> Iterator[Path]:
    for number in range(first, MOST_NUMBERS):
        yield file.with_name(f"{file.stem}_{number}{file.suffix}")


def is_folder(out: Path) -> bool:
    """Whether OUT means a folder: it is one, or has no ending."""
    return out.is_dir() or not out.suffix


def safe_stem(name: str) -> str:
    """What is taken of a server's name for a picture: letters, digits, blanks, "-", "_" and brackets of its last part.

    It never begins with a dot or ends with one, and is no name of a Windows device.
    """
    last = unicodedata.normalize("NFC", name[-1000:]).replace("\\", "/").rpartition("/")[2]
    stem = last.rpartition(".")[0]
    kept = "".join(letter if letter.isalnum() or letter in " -_()" else "_" for letter in stem)[:LONGEST].strip(" -")
    return NAME if not kept.strip("_") or unicodedata.normalize("NFKC", kept).upper() in _DEVICES else kept


def _claim(file: Path) -> None:
    """Take a name that is free, so that nobody else does before the whole file gets it."""
    os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
