"""X2Edit's text path in the host: all hidden states of its Qwen2.5-VL, through AlignNet."""

from pathlib import Path

import comfy.model_management
import torch
from comfy.ldm.modules.attention import optimized_attention_for_device
from torch import Tensor

from ...icedit_core.adapters import files
from ...icedit_core.adapters.readers.x2edit import read_align
from ...icedit_core.x2edit import align, words

WHO = "ICEdit X2 Prompt"
ENCODER = "qwen25_7b"  # what the host calls it in a CLIP of type qwen_image


def encode(clip, path: Path, instruction: str, wording: str, guidance: float) -> tuple[list, str]:
    """Conditioning of an instruction as X2Edit makes it.

    Args:
        clip: the host's CLIP with Qwen2.5-VL.
        path: a file that `icedit convert` made; its AlignNet is used.
        wording: one of `words.WORDINGS`.
    Returns:
        the host's CONDITIONING, and the text that was encoded.
    Raises:
        ValueError: another text encoder, or a file without AlignNet or with one for another encoder.
    """
    encoder = getattr(getattr(clip, "cond_stage_model", None), ENCODER, None)
    if encoder is None:
        raise ValueError(
            f"{WHO}: the text encoder is {_name(clip)}, but Qwen2.5-VL 7B is needed. Load qwen_2.5_vl_7b with "
            "ComfyUI's 'Load CLIP' as type qwen_image."
        )
    weights, _ = files.load_as(read_align, path, lambda outline: _check(outline, encoder))
    text = words.chat(instruction, wording)
    ids = clip.tokenizer.qwen25_7b.tokenizer(text)["input_ids"]
    clip.load_model()
    device = clip.patcher.load_device
    with comfy.model_management.cuda_device_context(device):
        hidden = states(encoder.transformer, *words.padded(ids, encoder.special_tokens["pad"]), device)
        tokens, pooled = align.build(weights, torch.float32).to(device)(hidden)
    home = comfy.model_management.intermediate_device()
    return [[tokens.to(home), {"pooled_output": pooled.to(home), "guidance": guidance}]], text


def states(transformer, ids: Tensor, real: Tensor, device: torch.device) -> Tensor:
    """The hidden states of a Qwen2.5-VL of the host: the embedding, each layer's output, the last one normalised.

    The host's own forward is always causal; the padding needs `words.attention_bias`.

    Args:
        ids, real: (1, tokens), as `words.padded` gives them.
    Returns:
        (1, layers + 1, tokens, width) float32.
    """
    model, real = transformer.model, real.to(device)
    x = transformer.get_input_embeddings()(ids.to(device), out_dtype=torch.float32)  # (1, tokens, width)
    bias = words.attention_bias(real, x.dtype)
    attention = optimized_attention_for_device(device, mask=True, small_input=True)
    angles = model.compute_freqs_cis(words.positions(real), device)
    kept = [x.clone()]
    for layer in model.layers:
        comfy.model_management.throw_exception_if_processing_interrupted()
        x, _ = layer(x=x, attention_mask=bias, freqs_cis=angles, optimized_attention=attention, past_key_value=None)
        kept.append(x.clone())
    kept[-1] = model.norm(x)
    return torch.stack(kept, dim=1).float()


def _check(weights: dict[str, Tensor], encoder) -> None:
    count, wide, *_ = align.check(weights)
    config = encoder.transformer.model.config
    if (count, wide) != (config.num_hidden_layers + 1, config.hidden_size):
        raise ValueError(
            f"{WHO}: AlignNet reads {count} states of {wide} numbers, but this text encoder has "
            f"{config.num_hidden_layers + 1} of {config.hidden_size}. Load Qwen2.5-VL 7B."
        )


def _name(clip) -> str:
    return "missing" if clip is None else type(getattr(clip, "cond_stage_model", clip)).__name__
