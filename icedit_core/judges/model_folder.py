"""An image-text model's folder, read by our own eyes before `transformers` reads it: sizes, and nothing that runs.

A configuration can ask for more than its weights hold (a billion layers), or for code from somewhere else (attention
kernels, quantisers). What is compared here costs the headers of the weights and a model without numbers.
"""

from __future__ import annotations

import importlib.metadata
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ..foreign import line
from ..plain_files import open_regular, read_json

CONFIG = "config.json"
OLDEST_TRANSFORMERS = "4.57"
_WHO = "ICEdit judge (transformers)"
_MOST_BYTES = 1 << 40
_READ_BY_OTHERS = {"tokenizer.json", "vocab.json"}  # large, and parsed by compiled code with a limit of its own
_BY_THE_LAYER = re.compile(r"(?:layers?|depths?|blocks?|n_layer)$")
_MOST_INPUTS = 1 << 22  # pixels that a processor may enlarge a picture to
_MOST = {
    **dict.fromkeys(("height", "width", "longest_side", "size", "crop_size", "pad_size"), 4096),  # px
    **dict.fromkeys(("shortest_edge", "min_pixels"), _MOST_INPUTS),
    **dict.fromkeys(("max_patches", "max_image_tiles", "max_num_tiles", "max_dynamic_patch", "num_crops"), 4096),
    **dict.fromkeys(("image_seq_length", "num_image_tokens"), 1 << 16),
    **{"patch_size": 512, "temporal_patch_size": 16, "merge_size": 16},
}
"""What a processor's settings may ask for: a picture is repeated, cut and enlarged by them."""
_MOST_BUFFERS = 1 << 26  # numbers that the code makes itself: positions and frequencies
# What the library's code raises for a configuration that is odd.
_ODD = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, MemoryError, OSError, RuntimeError,
    TypeError, ValueError, SafetensorError,
)  # fmt: skip


def is_model_folder(folder: Path) -> bool:
    """Whether a folder looks like a saved model: a config and safetensors weights."""
    return (folder / CONFIG).is_file() and any(folder.glob("*.safetensors"))


def load(folder: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """Model and processor from a folder on this machine; safetensors only, no code from the folder, no network.

    Raises:
        ValueError: a file is missing or damaged, asks for what is not in the folder, or does not fit the others.
    """
    model, processor, _ = load_backbone(folder, dtype)
    return model, processor


def load_backbone(folder: Path, dtype: torch.dtype, words: int = 0) -> tuple[Any, Any, list[str]]:
    """As `load`, and the names of weights that the model has no place for.

    Args:
        words: rows of the word embeddings, if others than the configuration says.
    """
    if not is_model_folder(folder):
        raise ValueError(
            f"{_WHO}: {line(folder.name)} has no {CONFIG} or no .safetensors file, but both are needed. "
            "Put the whole folder of the model there."
        )
    _check_version()
    for path in sorted(folder.iterdir()):
        _check_file(path, folder)
    try:
        return _loaded(folder, dtype, words)
    except BaseException as error:
        if not is_odd(error):
            raise
        if isinstance(error, ValueError) and str(error).startswith(_WHO):
            raise
        raise ValueError(
            f"{_WHO}: {line(folder.name)} cannot be loaded ({line(error)}), but an image-text model that this version "
            "of transformers knows, with its processor, is needed. Take another model or update transformers."
        ) from error


def _loaded(folder: Path, dtype: torch.dtype, words: int) -> tuple[Any, Any, list[str]]:
    import transformers

    image_text: Any = transformers.AutoModelForImageTextToText  # its types promise less than it does
    here: Any = {"local_files_only": True, "trust_remote_code": False}
    stored = [math.prod(shape) for _, shape in headers(folder).values()]
    config = _config(folder, len(stored))
    if words:
        config.get_text_config().vocab_size = words
    kind = image_text._model_mapping[type(config)]
    attention = "sdpa" if getattr(kind, "_supports_sdpa", False) else "eager"
    _check_size(folder, kind, config, stored)
    model, report = image_text.from_pretrained(
        folder,
        config=config,
        dtype=dtype,
        use_safetensors=True,
        output_loading_info=True,
        attn_implementation=attention,
        **here,
    )
    processor: Any = transformers.AutoProcessor.from_pretrained(folder, **here)
    if not isinstance(processor, transformers.ProcessorMixin):  # without a class the library gives a tokenizer alone
        raise ValueError(f"its processor is a {type(processor).__name__}, which sees no pictures")
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise ValueError(
            f"{_WHO}: {line(folder.name)} lacks {len(missing)} of the model's weights "
            f"({', '.join(map(line, missing[:3]))} ...), but all are needed. Put the whole folder of the model there."
        )
    return model, processor, sorted(report["unexpected_keys"])


def _check_version() -> None:
    from packaging.version import Version

    found = importlib.metadata.version("transformers")
    if Version(found) < Version(OLDEST_TRANSFORMERS):
        raise ValueError(
            f"{_WHO}: transformers is {found}, but {OLDEST_TRANSFORMERS} or newer is needed. "
            f'Run: pip install "transformers>={OLDEST_TRANSFORMERS}" in ComfyUI\'s environment.'
        )


def _check_file(path: Path, folder: Path) -> None:
    """Raise for a file that would block, and for JSON that asks for what is not in the folder."""
    if path.is_dir():
        return
    try:
        open_regular(path, _MOST_BYTES).close()
        if path.suffix == ".json" and path.name not in _READ_BY_OTHERS:
            _check_values(read_json(path))
    except ValueError as error:
        raise ValueError(
            f"{_WHO}: {line(folder.name)} is not taken ({line(path.name)} {error}), but plain files of a whole model "
            "that is not quantised are needed. Take the model's folder as it was published."
        ) from None


def _check_values(settings: Mapping[str, Any]) -> None:
    """Sizes of pictures that would fill the memory, names of files elsewhere, and other people's number formats."""
    for key, value in _entries(settings):
        if key in ("quantization_config", "compression_config") and value:
            raise ValueError(f"asks for {key}")
        if key in _MOST and _above(value, _MOST[key]):
            raise ValueError(f"has {key} {line(value)}, above {_MOST[key]}")
        if key == "weight_map" and isinstance(value, dict):
            files = [str(name) for name in value.values()]
            if odd := [name for name in files if Path(name).name != name or "\\" in name]:
                raise ValueError(f"names the file {line(odd[0])}")


def _above(value: object, most: int) -> bool:
    """Whether a number, or one in a list, is beyond a limit."""
    if isinstance(value, list):
        return any(_above(one, most) for one in value if not isinstance(one, list))
    return isinstance(value, (int, float)) and not -most <= value <= most


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key and value, however deep."""
    waiting = [value]
    while waiting:
        for key, inner in (waiting.pop()).items():
            yield key, inner
            waiting += [one for one in (inner if isinstance(inner, list) else [inner]) if isinstance(one, dict)]


def headers(folder: Path) -> dict[str, tuple[Path, tuple[int, ...]]]:
    """Name of each tensor of the folder -> its file and shape; nothing behind the files' headers is read.

    Raises:
        ValueError: a file is none of safetensors, or would block.
    """
    found: dict[str, tuple[Path, tuple[int, ...]]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        _check_file(path, folder)
        try:
            with safe_open(str(path), "pt") as file:
                found |= {key: (path, tuple(file.get_slice(key).get_shape())) for key in file.keys()}
        except (SafetensorError, OSError) as error:
            raise ValueError(
                f"{_WHO}: {line(folder.name)} cannot be loaded ({line(path.name)}: {line(error)}), but whole "
                ".safetensors files are needed. Download the model's folder again."
            ) from error
    return found


def _config(folder: Path, tensors: int) -> Any:
    """The library's configuration, without what names code: how to attend is ours to say."""
    from transformers import CONFIG_MAPPING

    values = read_json(folder / CONFIG)
    for key, value in _entries({"": values}):
        if _BY_THE_LAYER.search(key) and _above(value, tensors):
            raise ValueError(f"{key} is {line(value)}, but its weights are {tensors} tensors")
        for name in [name for name in value if name.endswith("_implementation")] if isinstance(value, dict) else []:
            del value[name]
    kind = values.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise ValueError(f"its model_type is {line(kind)}")
    return CONFIG_MAPPING[kind].from_dict(values)


def _check_size(folder: Path, kind: Any, config: Any, stored: list[int]) -> None:
    """Compare the model that the configuration means with the weights that are there."""
    with torch.device("meta"):
        empty = kind(config)
    wanted = [parameter.numel() for parameter in empty.parameters()]
    made = sum(buffer.numel() for buffer in empty.buffers())
    if sum(wanted) > 2 * sum(stored) or max(stored) > 4 * max(wanted) or made > _MOST_BUFFERS:
        raise ValueError(
            f"{_WHO}: {line(folder.name)} means a model of {sum(wanted)} numbers, the largest tensor {max(wanted)}, "
            f"but its files hold {sum(stored)}, the largest {max(stored)}. Put the whole folder of the model there."
        )


def is_odd(error: BaseException) -> bool:
    """Whether an error is the libraries' way to say that a folder is no good; out of memory on a GPU is the host's.

    The tokenizers library raises `Exception` itself, and where its Rust code panics a BaseException that would end the
    host's only worker. Newer configurations have a class of their own for a value of another type.
    """
    from huggingface_hub import errors

    strict: type[Exception] = getattr(errors, "StrictDataclassError", ValueError)
    of_rust = type(error) is Exception or type(error).__name__ == "PanicException"
    return of_rust or isinstance(error, (*_ODD, strict)) and not isinstance(error, torch.OutOfMemoryError)
