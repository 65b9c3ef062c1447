"""Adapter files on disk: safetensors only, nothing is unpickled."""

from __future__ import annotations

import json
import math
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..whole_files import write_whole
from .names import listed, shown
from .readers import read
from .weights import Adapter

_WHO = "ICEdit adapter"
Made = TypeVar("Made")
_MOST_HEADER = 16 << 20  # bytes; ten thousand tensors and a trainer's long metadata need a tenth of it
_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
}  # fmt: skip
_OTHER_KINDS = {
    b"PK\x03\x04": "a zip archive, such as a pickled PyTorch checkpoint",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"version https://git-lfs": "a Git LFS pointer, not the file it stands for",
    b"<": "a web page",
    b"{": "JSON",
    b"GGUF": "a GGUF file",
}


def load(path: str | Path, fits: Callable[[Adapter], object] | None = None) -> tuple[Adapter, int]:
    """`load_as` for ICEdit's adapters and plain LoRAs.

    Returns:
        The adapter, and the experts per token that the file asks for: `top_k` of its metadata, otherwise 1, the
        published default.
    """
    adapter, top_k = load_as(read, path, fits)
    return adapter, top_k or 1


def load_as(
    reader: Callable[[Mapping[str, Tensor]], Made], path: str | Path, fits: Callable[[Made], object] | None = None
) -> tuple[Made, int | None]:
    """Read an adapter file; afterwards nothing depends on the file any more.

    The names and shapes are checked before any number is read, and every number is read once, so a file of another kind
    costs its header and a good one its own size.

    Args:
        reader: one of `readers`.
        fits: raises ValueError if the adapter is none for the model at hand. It is called with an outline: shapes
            without numbers (tensors on "meta"), alphas apart.
    Returns:
        What the reader makes of the file, and the experts per token that its metadata asks for, if it does.
    Raises:
        ValueError: not a safetensors file, or not an adapter known here, or what `fits` raises; the file's name is in
            the message.
    """
    path = Path(path)
    name = shown(path.name)
    try:
        _check_start(path, name)
        with safe_open(str(path), "pt") as file:
            _check_doubles(path, name)
            top_k = _top_k(file.metadata() or {}, name)
            outline = _read(reader, _Outline(file), name)
            if fits:
                fits(outline)
            return _read(reader, _Tensors(file), name), top_k
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{_WHO}: {name} cannot be read ({_cause(path, error)}), but a whole .safetensors file is needed. "
            "Download it again, or convert it to safetensors."
        ) from error


class _Tensors(Mapping[str, Tensor]):
    """The tensors of an open file, each read when it is asked for."""

    def __init__(self, file: Any):
        self._file, self._names = file, dict.fromkeys(file.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> Tensor:
        self._shape(name)
        # A copy: the library's tensor is the file itself, and a file overwritten in place would change the adapter,
        # one cut short would end the process.
        tensor: Tensor = self._file.get_tensor(name)
        return tensor.clone()

    def _shape(self, name: str) -> list[int]:
        shape: list[int] = self._file.get_slice(name).get_shape()
        if 0 in shape:  # the other sides may be beyond what a tensor can have
            raise ValueError(
                f"{_WHO}: {shown(name)} has the shape {tuple(shape)}, but numbers are needed. "
                "The file is damaged: download it again."
            )
        return shape


class _Outline(_Tensors):
    """Shapes and dtypes in the place of tensors; single numbers are read."""

    def __getitem__(self, name: str) -> Tensor:
        shape = self._shape(name)
        if math.prod(shape) == 1:
            return super().__getitem__(name)
        dtype = _DTYPES.get(self._file.get_slice(name).get_dtype(), torch.bool)  # the reader knows no bool
        return torch.empty(shape, dtype=dtype, device="meta")


def _read(reader: Callable[[Mapping[str, Tensor]], Made], tensors: _Tensors, name: str) -> Made:
    try:
        return reader(tensors)
    except ValueError as error:
        raise ValueError(f"{error} (file {name})") from error


def _top_k(metadata: Mapping[str, str], name: str) -> int | None:
    text = metadata.get("top_k")
    if text is None:
        return None
    if not re.fullmatch("[1-9][0-9]{0,3}", text):
        raise ValueError(
            f"{_WHO}: {name} says top_k = '{shown(text)}', but a whole number from 1 is needed. "
            "Download the file again, or set its top_k right."
        )
    return int(text)


def _check_start(path: Path, name: str) -> None:
    """Refuse what is no regular file, which could not be read or never ends, and a header too long to be one."""
    if not stat.S_ISREG(path.stat().st_mode):
        kind = "a folder" if path.is_dir() else "no regular file"
        raise ValueError(f"{_WHO}: {name} is {kind}, but a .safetensors file is needed. Choose the file itself.")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    size = path.stat().st_size
    if size >= 8 and _MOST_HEADER < length <= size:
        raise ValueError(
            f"{_WHO}: {name} has a header of {length} bytes, but an adapter's has at most {_MOST_HEADER}. "
            "Use an adapter, not a whole model."
        )


def _check_doubles(path: Path, name: str) -> None:
    """Refuse a name that comes twice: the library keeps the last. It has checked the header, so this is valid JSON."""

    def once(pairs: list[tuple[str, None]]) -> None:
        counts = Counter(key for key, _ in pairs)
        if doubles := [key for key, count in counts.items() if count > 1]:
            raise ValueError(
                f"{_WHO}: {name} has {listed(doubles)} twice, but every name is needed once. "
                "The file is damaged: download it again."
            )

    with path.open("rb") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
    json.loads(header.decode("utf-8"), object_pairs_hook=once)


def _cause(path: Path, error: BaseException) -> str:
    """What is wrong with a file that is none of safetensors: what it seems to be, or the library's words."""
    if isinstance(error, OSError):
        return shown(error.strerror or str(error))
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(64)
    if not size:
        return "it is empty"
    for sign, kind in _OTHER_KINDS.items():
        if start.lstrip().startswith(sign):
            return f"it looks like {kind}"
    length = int.from_bytes(start[:8], "little")
    if size >= 8 and length > size - 8:
        return f"its header should have {length} bytes, the whole file has {size}"
    return shown(str(error))


def save(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write an adapter file: whole, or not at all.

    Args:
        path: the file; an existing one is replaced.
        tensors: file key -> tensor, see `writers.write`.
        metadata: for the file's header; `top_k` is read back by `load`.
    """
    # safetensors writes for the owner alone; the file gets the mode of the user's umask
    write_whole(Path(path), lambda beside: save_file(dict(tensors), str(beside), {"format": "pt", **metadata}))
