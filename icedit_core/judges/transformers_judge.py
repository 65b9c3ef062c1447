"""A judge that runs an image-text model of the `transformers` library in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from .judge import Answer

TOP_TOKENS = 20
_WHO = "ICEdit judge (transformers)"
_CONFIG, _ADAPTER_CONFIG = "config.json", "adapter_config.json"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"


class TransformersJudge:
    """Asks a model that is loaded by somebody else, who also decides where it runs.

    Questions run one after the other in the caller's thread: a second thread would race with whatever else uses the
    same device and the same memory management.

    Args:
        name: see `Judge`.
        ready: gives model and processor, the model on the device where it is to run; called before each question.
        stop: called before each question and each further token; raises when the person has pressed cancel.
    """

    def __init__(self, name: str, ready: Callable[[], tuple[Any, Any]], stop: Callable[[], None]):
        self.name = name
        self._ready = ready
        self._stop = stop

    async def ask(self, pictures: Sequence[Tensor], question: str, most_tokens: int) -> Answer:
        """See `Judge.ask`; greedy, with first-token probabilities."""
        await asyncio.sleep(0)  # a ranking that was cancelled ends here
        self._stop()
        return self._answer(pictures, question, most_tokens)

    @torch.inference_mode()
    def _answer(self, pictures: Sequence[Tensor], question: str, most_tokens: int) -> Answer:
        model, processor = self._ready()
        content = [*({"type": "image", "image": _image(one)} for one in pictures), {"type": "text", "text": question}]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        ).to(model.device, dtype=model.dtype)
        made = model.generate(
            **inputs,
            generation_config=_greedy(model, most_tokens),
            stopping_criteria=[self._never_but_stop],
        )
        told = made.sequences[0, inputs["input_ids"].shape[1] :]
        return Answer(
            processor.decode(told, skip_special_tokens=True),
            likely(made.logits[0][0], lambda token: processor.decode([token])),
        )

    def _never_but_stop(self, tokens: Tensor, scores: Any, **_: Any) -> Tensor:
        """A stopping criterion of `generate` that ends nothing, but lets a cancelled question raise."""
        self._stop()
        return torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)


def likely(logits: Tensor, text_of: Callable[[int], str]) -> dict[str, float]:
    """Probabilities of the most likely tokens, by their text.

    Args:
        logits: (vocabulary,), any float dtype.
        text_of: a token's text; tokens that read alike are added up.
    """
    top = logits.float().softmax(-1).topk(min(TOP_TOKENS, len(logits)))
    found: dict[str, float] = {}
    for p, token in zip(top.values.tolist(), top.indices.tolist(), strict=True):
        text = text_of(token)
        found[text] = found.get(text, 0.0) + p
    return found


def is_model_folder(folder: Path) -> bool:
    """Whether a folder looks like a saved model: a config and safetensors weights."""
    return (folder / _CONFIG).is_file() and any(folder.glob("*.safetensors"))


def is_adapter_folder(folder: Path) -> bool:
    """Whether a folder looks like a saved peft adapter."""
    return (folder / _ADAPTER_CONFIG).is_file() and (folder / _ADAPTER_WEIGHTS).is_file()


def load(folder: Path, adapter: Path | None, dtype: torch.dtype) -> tuple[Any, Any]:
    """Model and processor from a folder on this machine; safetensors only, no code from the folder, no network.

    Args:
        folder: as `save_pretrained` writes it.
        adapter: a peft adapter's folder; it is merged into the weights.
    Returns:
        The model, on the CPU, not training, and its processor.
    Raises:
        ValueError: a file is missing, does not fit, or would have to be fetched.
    """
    if not is_model_folder(folder):
        raise ValueError(
            f"{_WHO}: {folder.name} has no {_CONFIG} or no .safetensors file, but both are needed. "
            "Put the whole folder of the model there."
        )
    # Weights made in inference mode, in which the host runs its nodes, could not be moved outside of it.
    with torch.inference_mode(False), torch.no_grad():
        model, processor = _saved(folder, dtype)
        if adapter is not None:
            model = _adapted(model, adapter)
    return model.eval().requires_grad_(False), processor


def _saved(folder: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    import transformers
    from safetensors import SafetensorError

    image_text: Any = transformers.AutoModelForImageTextToText  # its types promise less than it does
    here: Any = {"local_files_only": True, "trust_remote_code": False}
    try:
        model, report = image_text.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **here
        )
        processor: Any = transformers.AutoProcessor.from_pretrained(folder, **here)
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise ValueError(
            f"{_WHO}: {folder.name} cannot be loaded ({error}), but an image-text model that this version of "
            "transformers knows, with its processor, is needed. Take another model or update transformers."
        ) from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise ValueError(
            f"{_WHO}: {folder.name} lacks {len(missing)} of the model's weights ({', '.join(missing[:3])} ...), but "
            "all are needed. Put the whole folder of the model there."
        )
    return model, processor


def _adapted(model: Any, folder: Path) -> Any:
    """The model with a peft adapter merged in.

    Raises:
        ValueError: no adapter in safetensors, or its layers are not the model's.
    """
    if not is_adapter_folder(folder):
        raise ValueError(
            f"{_WHO}: {folder.name} has no {_ADAPTER_CONFIG} or no {_ADAPTER_WEIGHTS}, but both are needed. "
            "Put the whole folder of the adapter there."
        )
    try:
        from peft import PeftConfig, get_peft_model, set_peft_model_state_dict
    except ImportError as error:
        raise ValueError(
            f"{_WHO}: {folder.name} is a peft adapter, but peft is not installed. "
            "Install peft into ComfyUI's environment, or choose no adapter."
        ) from error
    from safetensors.torch import load_file

    adapted = get_peft_model(model, PeftConfig.from_pretrained(str(folder), local_files_only=True))
    weights = load_file(folder / _ADAPTER_WEIGHTS)
    result: Any = set_peft_model_state_dict(adapted, weights)
    missing = [key for key in result.missing_keys if adapted.active_adapter in key.split(".")]
    if result.unexpected_keys or missing:
        strangers = sorted(result.unexpected_keys) or sorted(missing)
        raise ValueError(
            f"{_WHO}: the adapter {folder.name} and the model do not fit ({len(strangers)} weights without a partner, "
            f"{', '.join(strangers[:3])} ...), but all must. Choose the model that the adapter was trained for."
        )
    return adapted.merge_and_unload()


def _greedy(model: Any, most_tokens: int) -> Any:
    """How to generate: always the likeliest token, raw logits kept, whatever the model's own settings say."""
    from transformers import GenerationConfig

    own = model.generation_config
    return GenerationConfig(
        max_new_tokens=most_tokens,
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        eos_token_id=own.eos_token_id,
        pad_token_id=own.pad_token_id,
        output_logits=True,
        return_dict_in_generate=True,
    )


def _image(picture: Tensor) -> Image.Image:
    return Image.fromarray((picture[..., :3].float().clamp(0, 1) * 255).round().byte().cpu().numpy())
