"""How X2Edit puts an instruction to its language model, Qwen2.5-VL, and how that model sees the padding.

The text path sends no image. The 29 hidden states of all 512 positions count, those of the padding too: AlignNet
makes a text token of each, and the mean over all of them is the pooled vector. So what a padded position attends to is
part of the method.

Source: X2Edit, arXiv 2508.07607; the published pipelines with transformers 4.51.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LENGTH = 512
PUBLISHED, BARE = "published", "bare"
WORDINGS = (PUBLISHED, BARE)
"""As the published inference wraps the instruction, and as the training had it."""
_CHAT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)


def chat(instruction: str, wording: str) -> str:
    """The whole text that the language model reads."""
    if wording == BARE:
        return _CHAT.format(instruction)
    fields = {"Text input": "", "Instruction editing description": instruction, "image input": "yes"}
    return _CHAT.format(str(fields))


def padded(ids: Sequence[int], pad: int, length: int = LENGTH) -> tuple[Tensor, Tensor]:
    """Token ids filled up on the left, or cut on the right.

    Returns:
        ids (1, length), and (1, length) bool, False for padding.
    """
    kept = list(ids)[:length]
    missing = length - len(kept)
    real = torch.arange(length) >= missing
    return torch.tensor([[pad] * missing + kept]), real[None]


def positions(real: Tensor) -> Tensor:
    """(B, tokens) positions: 0, 1, ... for real tokens, 1 for every padded one."""
    return (real.long().cumsum(-1) - 1).masked_fill(~real, 1)


def attention_bias(real: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to the attention's logits: real tokens see the real ones up to themselves, padded ones see all.

    A row without any token to see would be undefined; the published code opens it to all, later ones too.

    Args:
        real: (B, tokens) bool.
    Returns:
        (B, 1, tokens, tokens): 0, or the lowest number of `dtype`.
    """
    tokens = real.shape[-1]
    causal = torch.ones(tokens, tokens, dtype=torch.bool, device=real.device).tril()
    seen = (causal & real[:, None, :]) | ~real[:, :, None]  # (B, tokens, tokens)
    bias = torch.zeros(seen.shape, dtype=dtype, device=real.device)
    return bias.masked_fill(~seen, torch.finfo(dtype).min)[:, None]
