"""A judge that runs EditReward: a Qwen2.5-VL with two small heads, asked in one forward pass for each.

Source: EditReward, arXiv 2509.26346; github.com/TIGER-AI-Lab/EditReward at edb027e (MIT), its model's `forward` for
"ranknet_multi_head" and its inference for how pictures and words are prepared. The equations are implemented anew here.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..foreign import line
from ..pixels import eight_bit
from ..plain_files import open_regular
from . import model_folder
from .asked.edit_reward import EditReward
from .asked.edit_reward_words import QUESTIONS, REWARD_TOKEN
from .chat_template import rendered
from .judge import PLAIN, Answer, JudgeUnavailable, Manner
from .message import turns

_WHO = "ICEdit judge (EditReward)"
HEADS = 2
PIXELS = 256 * 28 * 28
_PATCH = 28
_MOST_BYTES = 1 << 40
_PREFIX = "rm_heads."
_KIND = "qwen2_5_vl"


class EditRewardJudge:
    """Rates edits by two heads; any other question is refused.

    Args:
        name, ready, stop: as for `TransformersJudge`; `ready` gives the model of `load` and its processor.
    """

    writes = False  # see `retry.reworded`
    picture_side = None  # the source's and the edit's own pixels, brought to 256 patches below

    def __init__(self, name: str, ready: Callable[[], tuple[Any, Any]], stop: Callable[[], None]):
        self.name = name
        self.questions = EditReward()
        self._ready = ready
        self._stop = stop

    async def ask(self, pictures: Sequence[Tensor], question: str, most_tokens: int, manner: Manner = PLAIN) -> Answer:
        """(mean, log sigma) of the head that the question belongs to, as JSON.

        Raises:
            JudgeUnavailable: another question.
        """
        await asyncio.sleep(0)  # a ranking that was cancelled ends here
        self._stop()
        heads = [at for at, one in enumerate(QUESTIONS) if question.startswith(one.split("<instruction>")[0])]
        if len(heads) != 1 or len(pictures) != 2:
            raise JudgeUnavailable(
                f"{_WHO}: it has two heads that rate an edit and writes no text, but a question was asked that needs "
                "an answer in words. Use it with method score, and another judge for words."
            )
        model, processor = self._ready()
        template = getattr(processor, "chat_template", None)
        variables = {
            "messages": turns([{"type": "image"}] * 2, question, manner),
            "add_generation_prompt": True,
        }
        text = rendered(template.get("default") if isinstance(template, dict) else template, variables, self._stop)
        try:
            inputs = processor(text=[text], images=list(map(resized, pictures)), return_tensors="pt").to(model.device)
            rated = model.rate(heads[0], inputs, reward_token(processor)).tolist()
            if not all(map(math.isfinite, rated)):
                raise ValueError("its rating is NaN or infinite: weights or settings are damaged")
        except BaseException as error:
            if not model_folder.is_odd(error) or str(error).startswith(_WHO):
                raise
            raise ValueError(
                f"{_WHO}: the model cannot answer ({line(error)}), but a rating is needed. Take the files of its "
                "Qwen2.5-VL or MiMo-VL as they were published."
            ) from error
        return Answer(json.dumps(rated))


class Rating(nn.Module):
    """The backbone and its heads.

    Args:
        backbone: a Qwen2_5_VLModel.
        hidden: width of its last hidden state.
    """

    def __init__(self, backbone: nn.Module, hidden: int):
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict({f"head_{at}": head(hidden) for at in range(HEADS)})

    @property
    def device(self) -> torch.device:
        return next(self.backbone.parameters()).device

    @torch.inference_mode()
    def rate(self, number: int, inputs: Any, token: int) -> Tensor:
        """(mean, log sigma) of a head at the reward token.

        The published forward pass hands embeddings over without their token ids, so that positions count plainly
        instead of following the pictures' rows and columns: the weights were trained with that.
        """
        ids = inputs["input_ids"]
        plain = torch.arange(ids.shape[1], device=ids.device).expand(3, 1, -1)
        hidden = self.backbone(
            input_ids=ids,
            attention_mask=inputs["attention_mask"],
            position_ids=plain,
            pixel_values=inputs["pixel_values"].to(next(self.backbone.parameters()).dtype),
            image_grid_thw=inputs["image_grid_thw"],
            use_cache=False,
        ).last_hidden_state  # (1, N, hidden)
        at = (ids[0] == token).nonzero().flatten()
        if len(at) != 1:
            raise ValueError(f"{_WHO}: {len(at)} reward tokens in the question, but one is needed. Queue again.")
        found: Tensor = self.heads[f"head_{number}"](hidden[0, at[0]].float())
        return found


def head(hidden: int) -> nn.Sequential:
    """Linear(hidden, 1024), Linear(1024, 16), Linear(16, 2), in float32; the dropout was for training."""
    layers = nn.Linear(hidden, 1024), nn.ReLU(), nn.Dropout(0.05), nn.Linear(1024, 16), nn.ReLU(), nn.Linear(16, 2)
    return nn.Sequential(*layers).float().eval()


def size(height: int, width: int) -> tuple[int, int]:
    """The height and width at which a picture is shown: multiples of 28 px, about 256 patches in all.

    Source: `smart_resize` of qwen-vl-utils with both bounds at 256 * 28 * 28 px.
    """
    high, wide = (max(_PATCH, round(side / _PATCH) * _PATCH) for side in (height, width))
    scale = math.sqrt(height * width / PIXELS)
    if high * wide > PIXELS:
        high, wide = (math.floor(side / scale / _PATCH) * _PATCH for side in (height, width))
    elif high * wide < PIXELS:
        high, wide = (math.ceil(side / scale / _PATCH) * _PATCH for side in (height, width))
    return max(high, _PATCH), max(wide, _PATCH)


def resized(picture: Tensor) -> Image.Image:
    """A picture (H, W, 3 or 4) in [0, 1] at `size`."""
    high, wide = size(*picture.shape[:2])
    return Image.fromarray(eight_bit(picture).numpy()).resize((wide, high), Image.Resampling.BICUBIC)


def reward_token(processor: Any) -> int:
    """The id of the reward token; it is added behind the tokenizer's own if the folder lacks it, as published."""
    processor.tokenizer.add_special_tokens({"additional_special_tokens": [REWARD_TOKEN]})
    return int(processor.tokenizer.convert_tokens_to_ids(REWARD_TOKEN))


def is_edit_reward(folder: Path) -> bool:
    """Whether a folder's weights have heads that rate; what is wrong with a file is for whoever loads it."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            open_regular(path, _MOST_BYTES).close()
            with safe_open(str(path), "pt") as file:
                if any(key.startswith(_PREFIX) for key in file.keys()):
                    return True
        except (SafetensorError, OSError, ValueError):
            continue
    return False


def load(folder: Path, dtype: torch.dtype) -> tuple[Rating, Any]:
    """Model and processor; every weight must be there, and none may be left over.

    Raises:
        ValueError: a head is missing or of another shape, the backbone is no Qwen2.5-VL, or the folder is not whole.
    """
    # Weights made in inference mode, in which the host runs its nodes, could not be moved outside of it.
    with torch.inference_mode(False), torch.no_grad():
        return _loaded(folder, dtype)


def _loaded(folder: Path, dtype: torch.dtype) -> tuple[Rating, Any]:
    tensors = model_folder.headers(folder)
    rows = max([0, *(shape[0] for key, (_, shape) in tensors.items() if shape and key.endswith("embed_tokens.weight"))])
    whole, processor, unused = model_folder.load_backbone(folder, dtype, rows)
    if whole.config.model_type != _KIND:
        raise _refused(folder, f"is a {line(whole.config.model_type)}", f"EditReward on a {_KIND}")
    if extra := [key for key in unused if not key.startswith(_PREFIX)]:
        raise _refused(folder, f"has {len(extra)} weights without a place ({line(extra[0])} ...)", "none")
    hidden = whole.config.get_text_config().hidden_size
    heads = _heads(folder, tensors, hidden)
    model = Rating(whole.model, hidden)
    for at in range(HEADS):
        mine = {key.removeprefix(f"{_PREFIX}head_{at}."): value.float() for key, value in heads.items()}
        model.heads[f"head_{at}"].load_state_dict({key: mine[key] for key in model.heads[f"head_{at}"].state_dict()})
    token = reward_token(processor)
    if token >= rows:
        raise _refused(folder, f"has {rows} words, and {REWARD_TOKEN} is number {token}", "its embedding")
    return model.eval().requires_grad_(False), processor


def _heads(folder: Path, tensors: Mapping[str, tuple[Path, tuple[int, ...]]], hidden: int) -> dict[str, Tensor]:
    """The heads' weights; their names and shapes are compared before any number is read."""
    files = {key: file for key, (file, _) in tensors.items() if key.startswith(_PREFIX)}
    _check(folder, {key: tensors[key][1] for key in files}, hidden)
    found: dict[str, Tensor] = {}
    for key, path in files.items():
        with safe_open(str(path), "pt") as file:
            found[key] = file.get_tensor(key)
        if not found[key].isfinite().all():
            raise _refused(folder, f"has NaN or infinity in {key}", "a finite number")
    return found


def _check(folder: Path, shapes: Mapping[str, tuple[int, ...]], hidden: int) -> None:
    wanted: dict[str, tuple[int, ...]] = {}
    for at in range(HEADS):
        for layer, inputs, made in (("0", hidden, 1024), ("3", 1024, 16), ("5", 16, 2)):
            wanted |= {
                f"{_PREFIX}head_{at}.{layer}.weight": (made, inputs),
                f"{_PREFIX}head_{at}.{layer}.bias": (made,),
            }
    if shapes != wanted:
        odd = sorted({key for key, _ in shapes.items() ^ wanted.items()})
        raise _refused(folder, f"has heads that differ in {line(', '.join(odd[:3]))}", f"{HEADS} published ones")


def _refused(folder: Path, what: str, needed: str) -> ValueError:
    return ValueError(
        f"{_WHO}: {line(folder.name)} {what}, but {needed} is needed. Put EditReward's model.safetensors into a folder "
        "with config, tokenizer and processor files of its Qwen2.5-VL or MiMo-VL."
    )
