"""The contact sheet of a run: source beside edit, the words below; rows that failed say why."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from ..captioned import PAPER, TILE, fitted, lay_out
from ..cli.pictures import FORMATS
from ..picture_files import MOST_PIXELS
from .records import first_picture

NAME = "contact.jpg"
MOST = 100  # rows on the sheet, evenly spread if there are more
GAP = 4  # px between source and edit
QUALITY = 90
SOURCES = (*sorted(set(FORMATS.values())), "BMP", "GIF", "TIFF", "AVIF")


def spread(count: int, most: int = MOST) -> list[int]:
    """At most so many of `count` indices, the first and the last among them, evenly spread."""
    if count <= most:
        return list(range(count))
    return sorted({round(index * (count - 1) / (most - 1)) for index in range(most)})


def write(folder: Path, records: Sequence[Mapping[str, Any]], sources: Mapping[str, Path]) -> Path | None:
    """Write the sheet of these records.

    Args:
        folder: of the run.
        records: at most MOST of them.
        sources: row -> its source.
    Returns:
        the file, or None if there are no records.
    """
    if not records:
        return None
    width = 2 * TILE + GAP
    made = lay_out(_entries(folder, records, sources), len(records), columns=4, width=width)
    file = folder / NAME
    made.save(file, "JPEG", quality=QUALITY)
    return file


def _entries(
    folder: Path, records: Sequence[Mapping[str, Any]], sources: Mapping[str, Path]
) -> Iterator[tuple[Image.Image, str]]:
    for record in records:
        source = read(sources.get(str(record["row"])))
        edit = read(first_picture(folder, record))
        tile = Image.new("RGB", (2 * TILE + GAP, TILE), PAPER)
        for image, left in ((source, 0), (edit, TILE + GAP)):
            if image is not None:
                small = fitted(image, TILE, TILE)
                tile.paste(small, (left + (TILE - small.width) // 2, (TILE - small.height) // 2))
        error = record.get("error")
        about = f"FAILED: {error}" if error else f"{record.get('instruction')} (seed {record.get('seed')})"
        yield tile, f"{record['row']}: {about}"


def read(file: Path | None) -> Image.Image | None:
    """The picture, small enough to be shown; None if there is none that can be read."""
    if file is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.init()
            with Image.open(file, formats=[kind for kind in SOURCES if kind in Image.OPEN]) as image:
                if image.width * image.height > MOST_PIXELS:
                    return None
                image.draft("RGB", (2 * TILE, 2 * TILE))
                turned = ImageOps.exif_transpose(image)
                turned.thumbnail((2 * TILE, 2 * TILE))
                return turned.convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, Image.DecompressionBombError):
        return None
