"""X2Edit's three published files joined to one safetensors file, once; after that nothing is unpickled any more."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..adapters import files
from ..adapters.names import listed, shown
from ..adapters.readers import x2edit
from ..adapters.readers.tensors import floats
from ..plain_files import check_archive, open_regular
from . import align

_WHO = "icedit convert"
LORA, TASKS, ALIGN = "lora.safetensors", "task_embeddings.bin", "diffusion_pytorch_model.bin"
FORMAT = "x2edit"
_MOST = {LORA: 8 << 30, TASKS: 16 << 20, ALIGN: 2 << 30}  # bytes; published: about 1.7 GB, 0.2 MB and 0.15 GB
_MOST_PICKLE = 1 << 20  # bytes of names and shapes beside the numbers
_DAMAGE = (
    RuntimeError, OSError, EOFError, KeyError, IndexError, AttributeError, TypeError, ValueError, AssertionError,
    pickle.UnpicklingError, zipfile.BadZipFile, NotImplementedError,
)  # fmt: skip
"""What torch.load and zipfile raise for files that are damaged."""


def convert(folder: Path, target: Path) -> str:
    """Write the one file.

    Args:
        folder: holds `lora.safetensors`, `task_embeddings.bin` and `diffusion_pytorch_model.bin` as published.
        target: the new file; a file that is there is not replaced.
    Returns:
        one line that says what was written.
    Raises:
        ValueError: a file is missing, damaged or not X2Edit's, or the target is there.
    """
    if target.suffix != ".safetensors" or target.exists():
        problem = "is there already" if target.exists() else "does not end in .safetensors"
        raise ValueError(f"{_WHO}: {target} {problem}, but a new .safetensors file is needed. Choose another name.")
    hashes = {name: _sha256(folder / name, most) for name, most in _MOST.items()}
    tensors = _experts(folder / LORA)
    tasks = _checked(_unpickled(folder / TASKS), TASKS)
    if set(tasks) != {"weight"}:
        raise ValueError(f"{_WHO}: {TASKS} holds {listed(tasks) or 'nothing'}, but 'weight' alone is needed. {_AGAIN}")
    tensors[x2edit.TASKS] = tasks["weight"]
    network = _unpickled(folder / ALIGN)
    align.check(network)
    tensors |= {x2edit.ALIGN + key: tensor for key, tensor in _checked(network, ALIGN).items()}
    summary = x2edit.read(tensors).summary()
    metadata = {"icedit_format": FORMAT, "icedit_format_version": "1", "top_k": str(x2edit.TOP_K)}
    files.save(target, tensors, metadata | {f"sha256 of {name}": value for name, value in hashes.items()})
    return f"{target}: {summary}, task embeddings and AlignNet"


def _experts(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(str(path), "pt") as file:
            x2edit.check_names(file.keys())
            return {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{_WHO}: {path} is no whole safetensors file ({shown(str(error))}). {_AGAIN}") from error


def _unpickled(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that torch.save wrote: nothing but tensors is unpickled, none larger than the file."""
    try:
        with open_regular(path, _MOST[path.name]) as file:
            check_archive(file, _MOST[path.name], _MOST_PICKLE)
            found = torch.load(file, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        raise ValueError(f"{_WHO}: {path} cannot be read ({shown(_first_line(error))}). {_AGAIN}") from error
    if not isinstance(found, Mapping):
        raise ValueError(f"{_WHO}: {path} holds a {type(found).__name__}, but named tensors are needed. {_AGAIN}")
    for key, value in found.items():
        if not isinstance(key, str) or not _is_plain(value):
            raise ValueError(f"{_WHO}: {shown(str(key))} in {path} is no plain tensor, but one is needed. {_AGAIN}")
    return {key.removeprefix("module."): tensor for key, tensor in found.items()}  # a name that PyTorch's DDP adds


def _is_plain(value: object) -> bool:
    """Whether it is a tensor whose numbers lie in the file, one after the other; other kinds can claim any size."""
    if not isinstance(value, Tensor) or value.is_nested or value.layout is not torch.strided or value.is_meta:
        return False
    return value.is_contiguous() and value.numel() > 0


def _checked(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Finite numbers, none sharing memory with another."""
    return {key: floats(f"{key} in {name}", tensor, tensor.ndim).clone() for key, tensor in tensors.items()}


def _sha256(path: Path, most: int) -> str:
    digest = hashlib.sha256()
    try:
        with open_regular(path, most) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (ValueError, OSError) as error:
        raise ValueError(f"{_WHO}: {path} {error}. {_AGAIN}") from error
    return digest.hexdigest()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


_AGAIN = f"Put X2Edit's published {LORA}, {TASKS} and {ALIGN} in one folder, downloaded again if damaged."
