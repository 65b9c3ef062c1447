"""Image-text models of the `transformers` library: found in the model folders, loaded and unloaded by the host."""

import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import comfy.model_management as memory
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from ...icedit_core.judges.judge import THOUGHT_TOKENS
from ...icedit_core.judges.pictures import SIDE
from ...icedit_core.judges.transformers_judge import TransformersJudge, is_adapter_folder, is_model_folder, load
from .judge_host import stop_if_interrupted

NO_ADAPTER = "none"
DTYPES = {"auto": None, "bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
DEEPEST = 3  # folders below a model folder that are looked into: LLM/Qwen-VL/<model>


def model_names() -> list[str]:
    """Folders with an image-text model, or what looks like one, as `LLM/...` or `text_encoders/...`."""
    return sorted(_found(("LLM", "text_encoders"), is_model_folder))


def adapter_names() -> list[str]:
    """`NO_ADAPTER`, and folders with a peft adapter, as `LLM/...`, `text_encoders/...` or `loras/...`."""
    return [NO_ADAPTER, *sorted(_found(("LLM", "text_encoders", "loras"), is_adapter_folder))]


def stamp(model: str, adapter: str) -> str:
    """Changes with the files of the folders."""
    folders = [_model(model)] + ([_adapter(adapter)] if adapter != NO_ADAPTER else [])
    files = [(file.name, file.stat()) for folder in folders for file in sorted(folder.iterdir()) if file.is_file()]
    facts = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in files]
    return sha256(repr(facts).encode()).hexdigest()[:8]


def judge(
    model: str, adapter: str, dtype: str, picture_side: int = SIDE, thought_tokens: int = THOUGHT_TOKENS
) -> TransformersJudge:
    """A judge that loads its model when it is first asked.

    Raises:
        ValueError: no such folder.
    """
    folder = _model(model)
    extra = _adapter(adapter) if adapter != NO_ADAPTER else None
    settings = [adapter] * (extra is not None) + [dtype, stamp(model, adapter)]
    settings += [f"pictures of {picture_side} px"] * (picture_side != SIDE)
    settings += ["not thinking"] * (not thought_tokens)
    ready = _Hosted(folder, extra, DTYPES[dtype])
    name = f"{model} ({', '.join(settings)})"
    return TransformersJudge(name, ready, stop_if_interrupted, picture_side, thought_tokens)


class _Hosted:
    """A model that the host moves to its device when it is needed, and away when something else needs the room."""

    def __init__(self, folder: Path, adapter: Path | None, dtype: torch.dtype | None):
        self._source = folder, adapter, dtype
        self._patcher: ModelPatcher | None = None
        self._processor: Any = None

    def __call__(self) -> tuple[Any, Any]:
        if self._patcher is None:
            folder, adapter, dtype = self._source
            device = memory.text_encoder_device()
            model, self._processor = load(folder, adapter, dtype or _best_dtype(device))
            self._patcher = ModelPatcher(_Holder(model), device, memory.text_encoder_offload_device())
        # Its layers know nothing of weights that are fetched one by one, so it is loaded whole.
        memory.load_models_gpu([self._patcher], force_full_load=True)
        return self._patcher.model.held, self._processor


class _Holder(nn.Module):
    """Takes the attributes that the host hangs on a model; the library's own class has some of them, read-only."""

    def __init__(self, held: nn.Module):
        super().__init__()
        self.held = held


def _best_dtype(device: torch.device) -> torch.dtype:
    if memory.should_use_bf16(device):
        return torch.bfloat16
    return torch.float16 if memory.should_use_fp16(device, prioritize_performance=False) else torch.float32


def _roots(kind: str) -> list[Path]:
    known = folder_paths.folder_names_and_paths.get(kind, ([], ()))[0]
    return list(dict.fromkeys(Path(path) for path in [*known, os.path.join(folder_paths.models_dir, kind)]))


def _found(kinds: tuple[str, ...], wanted: Callable[[Path], bool]) -> dict[str, Path]:
    """Name -> folder; where two roots hold the same name, the first counts, as with the host's files."""
    found: dict[str, Path] = {}
    for kind in kinds:
        for root in _roots(kind):
            for folder in _folders(root, DEEPEST):
                if wanted(folder):
                    found.setdefault(f"{kind}/{folder.relative_to(root).as_posix()}", folder)
    return found


def _folders(root: Path, depth: int) -> Iterator[Path]:
    if depth and root.is_dir():
        for entry in sorted(root.iterdir()):
            if entry.is_dir() and not entry.name.startswith("."):
                yield entry
                yield from _folders(entry, depth - 1)


def _model(name: str) -> Path:
    return _there(name, _found(("LLM", "text_encoders"), is_model_folder), "model with config.json and .safetensors")


def _adapter(name: str) -> Path:
    return _there(name, _found(("LLM", "text_encoders", "loras"), is_adapter_folder), "peft adapter in .safetensors")


def _there(name: str, found: dict[str, Path], kind: str) -> Path:
    if name not in found:
        raise ValueError(
            f"ICEdit Judge (transformers): {name} is not there, but a folder with a {kind} is needed. "
            "Put it into models/LLM and refresh."
        )
    return found[name]
