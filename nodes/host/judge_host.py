"""A vision-language model that ComfyUI loaded as CLIP, as a judge."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import comfy.model_management
import comfy.utils
import torch
from comfy.text_encoders.llama import BaseGenerate
from comfy.text_encoders.qwen3vl import Qwen3VL
from comfy.text_encoders.qwen35 import Qwen35
from torch import Tensor, nn

from ...icedit_core.judges import Answer
from ...icedit_core.judges.asked import QuestionSet
from ...icedit_core.judges.judge import PLAIN, Manner
from ...icedit_core.judges.pictures import SIDE, made_small
from ...icedit_core.judges.transformers_judge import likely

_WHO = "ICEdit Judge (host)"
_REMEDY = "Load one with ComfyUI's Load CLIP, for example Qwen3-VL 4B or 8B."
_PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
_NO_THOUGHTS = "<think>\n\n</think>\n\n"


class HostJudge:
    """Asks a CLIP, whose memory stays under the host's management.

    Questions run in the host's own thread, one after the other: while a node waits for another thread, the host goes
    on with other nodes, and its memory management is not made for two at a time.

    Args:
        clip: a CLIP with a language model that reads pictures and writes text.
        questions: the question set, see `asked.of`.
    Raises:
        ValueError: it is none.
    """

    picture_side = SIDE

    def __init__(self, clip, questions: QuestionSet | None = None):
        self._clip = clip
        self.questions = questions
        self._model = language_model(clip.cond_stage_model)
        self.name = f"{type(self._model).__name__} in ComfyUI ({clip.patcher.patches_uuid.hex[:8]})"

    async def ask(self, pictures: Sequence[Tensor], question: str, most_tokens: int, manner: Manner = PLAIN) -> Answer:
        """See `Judge.ask`; with first-token probabilities.

        Raises:
            ValueError: a manner that the host's chat format of this model has no place for.
        """
        await asyncio.sleep(0)  # a ranking that was cancelled ends here
        stop_if_interrupted()
        small = [made_small(picture, self.picture_side) for picture in pictures]
        tokens = self._tokens([picture[None, ..., :3].float().clamp(0, 1) for picture in small], question, manner)
        try:
            with _first_logits(self._model) as first:
                told = self._clip.generate(tokens, max_length=most_tokens, **_sampling(manner))
        except comfy.model_management.InterruptProcessingException:
            comfy.model_management.interrupt_current_processing(True)  # questions already on their way stop as well
            raise
        cut = len(told) >= most_tokens
        return Answer(self._text(told, True), likely(first[0], lambda token: self._text([token], False)), cut=cut)

    def _text(self, tokens: list[int], skip_special_tokens: bool) -> str:
        try:
            return self._clip.decode(tokens, skip_special_tokens=skip_special_tokens)
        except IndexError:  # Gemma's models know more tokens than their tokenizers
            return "".join(f"<{token}>" for token in tokens)

    def _tokens(self, pictures: list[Tensor], question: str, manner: Manner):
        """The question in the model's own chat format.

        Qwen's is written here: the tokenizers' own templates differ with what the host means to encode. For other
        families the tokenizer's template for chatting is taken, which wants pictures of one size. Gemma 3 sees squares
        of a fixed size, and the host would cut the sides off: it gets the whole picture squeezed, as published.
        """
        if isinstance(self._model, (Qwen3VL, Qwen35)):
            text = _qwen(len(pictures), question, manner) + _NO_THOUGHTS * isinstance(self._model, Qwen35)
            tokens = self._clip.tokenize(text, images=pictures, skip_template=True)
        elif manner.system or manner.numbered:
            raise ValueError(
                f"{_WHO}: the questions come with a system turn or numbered pictures, which ComfyUI's chat format of "
                f"{type(self._model).__name__} has no place for, but it is needed. Use Qwen3-VL, or another judge node."
            )
        elif not pictures:
            tokens = self._clip.tokenize(question, skip_template=False, min_length=1, thinking=False)
        else:
            side = getattr(self._model, "image_size", None)
            height, width = (side, side) if side else pictures[0].shape[1:3]
            batch = torch.cat([_resized(picture, height, width) for picture in pictures])
            tokens = self._clip.tokenize(question, image=batch, skip_template=False, min_length=1, thinking=False)
        shown = sum(len(token[0]["data"]) for token in next(iter(tokens.values()))[0] if isinstance(token[0], dict))
        if shown != len(pictures):
            raise ValueError(
                f"{_WHO}: the tokenizer of {type(self._model).__name__} took {shown} of {len(pictures)} pictures, but "
                f"all must be shown. {_REMEDY}"
            )
        return tokens


def _qwen(pictures: int, question: str, manner: Manner) -> str:
    """Qwen's chat format."""
    system = f"<|im_start|>system\n{manner.system}<|im_end|>\n" if manner.system else ""
    shown = "".join(f"<img{number}>: " * manner.numbered + _PICTURE for number in range(1, pictures + 1))
    return f"{system}<|im_start|>user\n{shown}{question}<|im_end|>\n<|im_start|>assistant\n"


def _sampling(manner: Manner) -> dict:
    if not manner.draws:
        return {"do_sample": False}
    return {"do_sample": True} | {name: getattr(manner, name) for name in ("temperature", "top_p", "top_k", "seed")}


def stop_if_interrupted() -> None:
    """Raise the host's interrupt exception, and leave the mark, so that questions asked side by side stop as well."""
    if comfy.model_management.processing_interrupted():
        raise comfy.model_management.InterruptProcessingException()


def language_model(encoder: nn.Module) -> nn.Module:
    """The part of a text encoder that reads pictures and writes text.

    Raises:
        ValueError: there is none, or it cannot write.
    """
    writers = [module for module in encoder.modules() if isinstance(module, BaseGenerate)]
    readers = [module for module in writers if hasattr(module, "preprocess_embed")]
    if not readers:
        kind = "writes text, but sees no pictures" if writers else "writes no text"
        raise ValueError(
            f"{_WHO}: the CLIP is a {type(encoder).__name__}, which {kind}, but a vision-language model is needed. "
            f"{_REMEDY}"
        )
    model = readers[0]
    if not _can_write(model):
        raise ValueError(
            f"{_WHO}: ComfyUI loads {type(model).__name__} without the layer that writes text, so its answers would "
            f"mean nothing, but a model that can answer is needed. {_REMEDY} ICEdit Judge (transformers) runs others."
        )
    return model


def _can_write(model: nn.Module) -> bool:
    """Some language models are loaded for their hidden states alone.

    Without a final norm (Qwen3-VL 32B, cut after 50 layers) there is nothing to write with. Qwen2.5-VL 7B has an
    output layer of its own, which the host does not load and replaces by the word embeddings.
    """
    own_head = type(model).__name__ != "Qwen25_7BVLI" or hasattr(model.model, "lm_head")
    return own_head and getattr(model.model, "norm", None) is not None


@contextmanager
def _first_logits(model: nn.Module) -> Iterator[list[Tensor]]:
    """Keep the logits from which the model chooses its first token; the model is left as it was."""
    kept: list[Tensor] = []
    choose = model.sample_token

    def watch(logits, *args, **options):
        if not kept:
            kept.append(logits[0].detach().float().cpu())
        return choose(logits, *args, **options)

    model.sample_token = watch
    try:
        yield kept
    finally:
        del model.sample_token  # the class's own is in force again


def _resized(picture: Tensor, height: int, width: int) -> Tensor:
    if picture.shape[1:3] == (height, width):
        return picture
    return comfy.utils.common_upscale(picture.movedim(-1, 1), width, height, "area", "disabled").movedim(1, -1)
