"""Adapter files on disk: safetensors only, nothing is unpickled."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .readers import read
from .weights import Adapter


def load(path: str | Path) -> tuple[Adapter, int]:
    """Read an adapter file.

    Returns:
        The adapter, and the experts per token that the file asks for: `top_k` of its metadata, otherwise 1, the
        published default.
    Raises:
        ValueError: not a safetensors file, or not an adapter known here; the file's name is in the message.
    """
    name = Path(path).name
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"ICEdit adapter: {name} cannot be read ({error}), but a whole .safetensors file is needed. "
            "Download it again, or convert it to safetensors."
        ) from error
    top_k = metadata.get("top_k", "1")
    if not top_k.isdecimal() or int(top_k) < 1:
        raise ValueError(f"ICEdit adapter: {name} says top_k = {top_k!r}, but a whole number from 1 is needed.")
    try:
        return read(tensors), int(top_k)
    except ValueError as error:
        raise ValueError(f"{error} (file {name})") from error


def save(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write an adapter file: whole, or not at all.

    Args:
        path: the file; an existing one is replaced.
        tensors: file key -> tensor, see `writers.write`.
        metadata: for the file's header; `top_k` is read back by `load`.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.writing")
    save_file(dict(tensors), str(beside), {"format": "pt", **metadata})
    os.replace(beside, path)
