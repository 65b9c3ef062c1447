"""Image-text models of the `transformers` library: found in the model folders, loaded and unloaded by the host."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import comfy.model_management as memory
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from ...icedit_core.foreign import line
from ...icedit_core.judges import edit_reward_judge
from ...icedit_core.judges.asked.choosing import AUTO, Signs
from ...icedit_core.judges.edit_reward_judge import EditRewardJudge, is_edit_reward
from ...icedit_core.judges.judge import THOUGHT_TOKENS, Judge
from ...icedit_core.judges.pictures import SIDE
from ...icedit_core.judges.transformers_judge import TransformersJudge, is_adapter_folder, is_model_folder, load
from ...icedit_core.plain_files import read_json
from . import model_folders, questions
from .judge_host import stop_if_interrupted

NO_ADAPTER = "none"
DTYPES = {"auto": None, "bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
Load = Callable[[torch.dtype], tuple[Any, Any]]


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
    model: str,
    adapter: str,
    dtype: str,
    asked: tuple[str, int, str] = (AUTO, 1, questions.NO_FILE),
    picture_side: int = SIDE,
    thought_tokens: int = THOUGHT_TOKENS,
) -> Judge:
    """A judge that loads its model when it is first asked.

    Args:
        asked: questions, passes and question file, see `questions.inputs`.
    Raises:
        ValueError: no such folder or file, or inputs that do not fit the model.
    """
    folder = _model(model)
    extra = _adapter(adapter) if adapter != NO_ADAPTER else None
    signs = _signs(model, folder, adapter, extra)
    way = questions.chosen(*asked, signs)
    settings = [adapter] * (extra is not None) + [dtype, stamp(model, adapter)]
    settings += [f"pictures of {picture_side} px"] * (picture_side != SIDE)
    settings += ["not thinking"] * (not thought_tokens)
    name = f"{model} ({', '.join(settings)})"
    if signs.heads:
        if extra is not None or (picture_side, thought_tokens) != (SIDE, THOUGHT_TOKENS):
            raise ValueError(
                f"ICEdit Judge (transformers): {model} is EditReward, which takes no adapter, sees pictures at its own "
                f"size and does not think, but adapter is {adapter}, picture_side {picture_side} and thought_tokens "
                f"{thought_tokens}. Set them to {NO_ADAPTER}, {SIDE} and {THOUGHT_TOKENS}."
            )
        rated = _Hosted(lambda kind: edit_reward_judge.load(folder, kind), DTYPES[dtype])
        return EditRewardJudge(name, rated, stop_if_interrupted)
    ready = _Hosted(lambda kind: load(folder, extra, kind), DTYPES[dtype])
    return TransformersJudge(name, ready, stop_if_interrupted, picture_side, thought_tokens, way)


def _signs(model: str, folder: Path, adapter: str, extra: Path | None) -> Signs:
    """What the folders say about the questions that the model was trained on."""
    config = _json(folder / "config.json")
    base = _json(extra / "adapter_config.json").get("base_model_name_or_path", "") if extra else ""
    names = f"{model} {config.get('_name_or_path', '')}" + f" {adapter} {base}" * (extra is not None)
    return Signs(names, config.get("model_type") == "qwen2_5_vl", is_edit_reward(folder))


def _json(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except ValueError:
        return {}  # whoever loads the model says what is wrong with it


class _Hosted:
    """A model that the host moves to its device when it is needed, and away when something else needs the room."""

    def __init__(self, load: Load, dtype: torch.dtype | None):
        self._load, self._dtype = load, dtype
        self._patcher: ModelPatcher | None = None
        self._processor: Any = None

    def __call__(self) -> tuple[Any, Any]:
        if self._patcher is None:
            device = memory.text_encoder_device()
            model, self._processor = self._load(self._dtype or _best_dtype(device))
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


def _found(kinds: tuple[str, ...], wanted: Callable[[Path], bool]) -> dict[str, Path]:
    """Name -> folder; where two roots hold the same name, the first counts, as with the host's files."""
    found: dict[str, Path] = {}
    for kind in kinds:
        for root in model_folders.roots(kind):
            for folder in model_folders.below(root):
                if wanted(folder):
                    found.setdefault(f"{kind}/{folder.relative_to(root).as_posix()}", folder)
    return found


def _model(name: str) -> Path:
    return _there(name, _found(("LLM", "text_encoders"), is_model_folder), "model with config.json and .safetensors")


def _adapter(name: str) -> Path:
    return _there(name, _found(("LLM", "text_encoders", "loras"), is_adapter_folder), "peft adapter in .safetensors")


def _there(name: str, found: dict[str, Path], kind: str) -> Path:
    if name not in found:
        raise ValueError(
            f"ICEdit Judge (transformers): {line(name)} is not there, but a folder with a {kind} is needed. "
            "Put it into models/LLM and refresh."
        )
    return found[name]
