"""What `icedit keep` does once its arguments are read: read the pictures, keep what was not edited, save."""

from __future__ import annotations

import argparse
import io
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from .. import foreign, keep, plain_files
from ..picture_files import DAMAGE, MOST_BYTES, TooLarge, opened
from ..whole_files import write_whole
from . import pictures

MODES = {"RGB": "RGB", "RGBA": "RGBA", "L": "RGB", "LA": "RGBA", "1": "RGB", "CMYK": "RGB"}
"""Mode of a picture in a file -> what it is read as; P depends on its transparency."""


def run(arguments: argparse.Namespace) -> int:
    """Keep what was not edited; returns the exit code.

    Raises:
        ValueError: anything that the user can put right.
    """
    try:
        return _run(arguments)
    except ValueError as problem:
        words = str(problem).removeprefix(f"{keep.WHO}: ")
        raise ValueError(f"icedit keep: {words}") from problem


def _run(arguments: argparse.Namespace) -> int:
    for out in filter(None, (arguments.out, arguments.change)):
        _check_out(out, arguments.overwrite)
    source, profile = _read(arguments.source)
    edit, _ = _read(arguments.edit)
    mask = None if arguments.mask is None else _read(arguments.mask)[0][..., :3].mean(-1)
    if mask is not None and not mask.any():
        raise ValueError(f"{arguments.mask} is black everywhere, but white is needed where the picture may change.")
    cut = keep.Cut(arguments.threshold, arguments.grow, arguments.feather)
    done = keep.keep(source, edit, mask=mask, cut=cut, colour=arguments.colour)
    _save(done.image[0], arguments.out, profile)
    if arguments.change is not None:
        _save(done.mask[0, ..., None].expand(-1, -1, 3), arguments.change, None)
    print(f"{arguments.out}: {' '.join(done.report)}")
    return 0


def _check_out(out: Path, overwrite: bool) -> None:
    if out.suffix.lower() not in pictures.FORMATS:
        raise ValueError(f"got {out}, but a {', '.join(pictures.FORMATS)} file is needed to save to.")
    if os.path.lexists(out) and not overwrite:
        raise ValueError(f"{out} is there already. Name another file, or add --overwrite.")
    if not out.parent.is_dir():
        raise ValueError(f"got {out}, but there is no folder {out.parent}. Make it first.")


def _read(file: Path) -> tuple[Tensor, bytes | None]:
    """A picture (1, H, W, 3 or 4) in [0, 1], turned as its EXIF says, and its colour profile."""
    if not file.is_file():
        raise ValueError(f"got {file}, but there is no such file.")
    try:
        with plain_files.open_regular(file, MOST_BYTES) as stream:
            data = stream.read()
        with pictures.quietly(), opened(data) as image:
            profile = image.info.get("icc_profile")
            image.load()
            image = ImageOps.exif_transpose(image)
            alpha = "RGBA" if "transparency" in image.info else "RGB"
            mode = alpha if image.mode == "P" else MODES.get(image.mode)
            pixels = None if mode is None else np.asarray(image.convert(mode))
    except (*DAMAGE, TooLarge) as problem:
        raise ValueError(f"{file} cannot be read as a picture ({foreign.line(problem)}).") from None
    if pixels is None:
        raise ValueError(f"{file} holds {image.mode} pixels, but 8 bits a colour are needed. Convert it first.")
    return torch.from_numpy(pixels.astype(np.float32) / 255)[None], profile


def _save(image: Tensor, out: Path, profile: bytes | None) -> None:
    """Write (H, W, 3 or 4) whole or not at all; PNG and WebP keep every bit."""
    kind = pictures.FORMATS[out.suffix.lower()]
    pixels = (image * 255).round().clamp(0, 255).byte().numpy()
    lossless: dict = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    options = {"quality": pictures.QUALITY} if kind == "JPEG" else lossless
    packed = io.BytesIO()
    Image.fromarray(pixels[..., :3] if kind == "JPEG" else pixels).save(packed, kind, icc_profile=profile, **options)
    try:
        write_whole(out, lambda beside: beside.write_bytes(packed.getvalue()))
    except OSError as problem:
        raise ValueError(f"{out} cannot be written ({problem}).") from None
