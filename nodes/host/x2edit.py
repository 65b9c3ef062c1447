"""X2Edit's adapter on the host's FLUX.1 dev: its experts, its task, and the source tokens it reads."""

from pathlib import Path

from comfy.model_patcher import ModelPatcher

from ...icedit_core.adapters import files
from ...icedit_core.adapters.readers.x2edit import TASK, TOP_K, read
from ...icedit_core.adapters.weights import Adapter
from ...icedit_core.judges import Judge
from ...icedit_core.x2edit import task_question
from . import adapters, fill, source_tokens
from .adapters import Target
from .waiting import cancellable

WHO = "ICEdit X2 Adapter"


def load(path: Path, model: ModelPatcher) -> tuple[Adapter, int]:
    """Read a file that `icedit convert` made, and the experts per token that it asks for.

    Raises:
        ValueError: the file is not X2Edit's or does not fit the model; nothing large was read then.
    """
    made, top_k = files.load_as(read, path, lambda outline: check(model, outline))
    return made, top_k or TOP_K


async def task_by(judge: Judge | None, instruction: str) -> tuple[str, str]:
    """The task that a judge names, and a note where it named none; Cancel reaches it.

    Raises:
        ValueError: there is no judge or no instruction; JudgeUnavailable.
    """
    if judge is None or not instruction.strip():
        missing = "no judge" if judge is None else "no instruction"
        raise ValueError(
            f"{WHO}: task is auto, but there is {missing} to tell it by. Connect ICEdit Judge (server), or another "
            "judge that reads text, and the instruction; or choose the task yourself."
        )
    return await cancellable(task_question.named(judge, instruction))


def check(model: ModelPatcher, made: Adapter) -> dict[str, Target]:
    """Where each layer of X2Edit, or of an outline without numbers, belongs in a model.

    Raises:
        ValueError: the model is not FLUX.1 dev or a fine-tune of it, or the adapter does not fit it.
    """
    if fill.input_channels(model) != fill.LATENT_CHANNELS:
        raise ValueError(
            f"{WHO}: the model is {fill.name_of(model)}, but X2Edit was trained on FLUX.1 dev. Load flux1-dev, or a "
            "fine-tune of it, with ComfyUI's 'Load Diffusion Model'; FLUX.1 Fill goes with ICEdit Load LoRA."
        )
    return adapters.resolve(model, made, WHO)


def attach(
    model: ModelPatcher, made: Adapter, task: int, strength: float, top_k: int, name: str = "X2Edit"
) -> ModelPatcher:
    """Give a clone of `model` with X2Edit in force; `model` itself stays as it is.

    Args:
        task: row of the task embeddings.
        strength: multiplies every update; at 0 no expert is in force, but the source is still read.
        top_k: experts per token.
        name: what the adapter is called in messages.
    Raises:
        ValueError: see `check`.
    """
    targets = check(model, made)
    clone = model.clone()
    source_tokens.read_source(clone, WHO)
    if strength != 0:
        adapters.attach_routed(
            clone, made.routed, targets, strength, top_k, name, {TASK: made.contexts[TASK][task]}, who=WHO
        )
    return clone
