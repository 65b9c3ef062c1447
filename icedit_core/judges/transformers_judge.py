"""A judge that runs an image-text model of the `transformers` library in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..foreign import line
from . import model_folder, peft_folder
from .chat_template import rendered
from .judge import PLAIN, THOUGHT_TOKENS, Answer, Manner
from .message import turns
from .model_folder import is_model_folder, is_odd
from .peft_folder import is_adapter_folder
from .pictures import SIDE, shown
from .thoughts import is_mark

if TYPE_CHECKING:
    from .asked import QuestionSet

__all__ = ["TransformersJudge", "is_adapter_folder", "is_model_folder", "likely", "load"]
TOP_TOKENS = 20
_WHO = "ICEdit judge (transformers)"


class TransformersJudge:
    """Asks a model that is loaded by somebody else, who also decides where it runs.

    Questions run one after the other in the caller's thread: a second thread would race with whatever else uses the
    same device and the same memory management.

    Args:
        name: see `Judge`.
        ready: gives model and processor, the model on the device where it is to run; called before each question.
        stop: called before each question and each further token; raises when the person has pressed cancel.
        picture_side: px of the longer side at which pictures are shown at most.
        thought_tokens: see `Thinking`; 0 asks the chat template not to open a thought.
        questions: the question set, see `asked.of`; None: as a model that was not made for judging edits.
    """

    def __init__(
        self,
        name: str,
        ready: Callable[[], tuple[Any, Any]],
        stop: Callable[[], None],
        picture_side: int = SIDE,
        thought_tokens: int = THOUGHT_TOKENS,
        questions: QuestionSet | None = None,
    ):
        self.name = name
        self.questions = questions
        self.picture_side = picture_side
        self.thought_tokens = thought_tokens
        self._ready = ready
        self._stop = stop
        self._prompts: dict[tuple[int, str, Manner], str] = {}  # a ranking repeats them

    async def ask(self, pictures: Sequence[Tensor], question: str, most_tokens: int, manner: Manner = PLAIN) -> Answer:
        """See `Judge.ask`; with first-token probabilities."""
        await asyncio.sleep(0)  # a ranking that was cancelled ends here
        self._stop()
        return self._answer(pictures, question, most_tokens, manner)

    def _answer(self, pictures: Sequence[Tensor], question: str, most_tokens: int, manner: Manner) -> Answer:
        model, processor = self._ready()
        words = self._prompt(processor, len(pictures), question, manner)
        try:
            return self._generated(model, processor, pictures, words, most_tokens, manner)
        except BaseException as error:
            if not is_odd(error):
                raise
            raise ValueError(
                f"{_WHO}: the model cannot answer ({line(error)}), but an answer is needed. "
                "Take the model's folder as it was published, or another model."
            ) from error

    def _prompt(self, processor: Any, pictures: int, question: str, manner: Manner) -> str:
        """What the model's own chat template makes of a question."""
        key = pictures, question, manner
        if key not in self._prompts:
            own = getattr(processor, "chat_template", None)
            variables = {
                **{name: str(token) for name, token in processor.tokenizer.special_tokens_map.items()},
                "messages": turns([{"type": "image"}] * pictures, question, manner, listed=True),
                "add_generation_prompt": True,
                **({} if self.thought_tokens else {"enable_thinking": False}),
            }
            template = own.get("default") if isinstance(own, dict) else own
            self._prompts[key] = rendered(template, variables, self._stop)
        return self._prompts[key]

    @torch.inference_mode()
    def _generated(
        self, model: Any, processor: Any, pictures: Sequence[Tensor], words: str, most_tokens: int, manner: Manner
    ) -> Answer:
        content = [
            *({"type": "image", "image": shown(one, self.picture_side)} for one in pictures),
            {"type": "text", "text": ""},
        ]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=f"{{{{ {json.dumps(words, ensure_ascii=False)} }}}}",  # one that says these words
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        ).to(model.device, dtype=model.dtype)
        with _seeded(manner, model.device):
            made = model.generate(
                **inputs,
                generation_config=_settings(model, most_tokens, manner),
                stopping_criteria=[self._never_but_stop],
            )
        told = made.sequences[0, inputs["input_ids"].shape[1] :]
        return Answer(
            _text(processor, told),
            likely(made.logits[0][0], lambda token: processor.decode([token])),
            cut=len(told) >= most_tokens,
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
    Raises:
        ValueError: no probabilities follow from them: not a number.
    """
    if logits.isnan().any():
        raise ValueError("its scores are NaN, not a number: weights are damaged, or too large for the dtype")
    top = logits.float().softmax(-1).topk(min(TOP_TOKENS, len(logits)))
    found: dict[str, float] = {}
    for p, token in zip(top.values.tolist(), top.indices.tolist(), strict=True):
        text = text_of(token)
        found[text] = found.get(text, 0.0) + p
    return found


def load(folder: Path, adapter: Path | None, dtype: torch.dtype) -> tuple[Any, Any]:
    """Model and processor from a folder on this machine; safetensors only, no code from the folder, no network.

    Args:
        folder: as `save_pretrained` writes it.
        adapter: a peft adapter's folder, a plain LoRA; it is merged into the weights.
    Returns:
        The model, on the CPU, not training, and its processor.
    Raises:
        ValueError: a file is missing, does not fit, or would have to be fetched.
    """
    # Weights made in inference mode, in which the host runs its nodes, could not be moved outside of it.
    with torch.inference_mode(False), torch.no_grad():
        model, processor = model_folder.load(folder, dtype)
        if adapter is not None:
            peft_folder.merge(model, adapter)
    return model.eval().requires_grad_(False), processor


def _settings(model: Any, most_tokens: int, manner: Manner) -> Any:
    """How to generate: as the manner says and raw logits kept, whatever the model's own settings say.

    Only a penalty on repetitions is the model's own where tokens are drawn: published code passes the rest.
    """
    from transformers import GenerationConfig

    own = model.generation_config
    drawn = {"temperature": manner.temperature, "top_p": manner.top_p, "top_k": manner.top_k}
    return GenerationConfig(
        max_new_tokens=most_tokens,
        do_sample=manner.draws,
        num_beams=1,
        repetition_penalty=(own.repetition_penalty or 1.0) if manner.draws else 1.0,
        eos_token_id=own.eos_token_id,
        pad_token_id=own.pad_token_id,
        output_logits=True,
        return_dict_in_generate=True,
        **(drawn if manner.draws else {}),
    )


@contextmanager
def _seeded(manner: Manner, device: torch.device) -> Iterator[None]:
    """Draw by the manner's seed; everybody else's random numbers go on as if nothing had been drawn."""
    if not manner.draws:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(manner.seed)
        yield


def _text(processor: Any, told: Tensor) -> str:
    """The words of tokens without the special ones, but for those that tell thoughts from answers."""
    special = [token for token in processor.tokenizer.all_special_tokens if not is_mark(token)]
    text = str(processor.decode(told, skip_special_tokens=False))
    for token in special:
        text = text.replace(token, "")
    return text
