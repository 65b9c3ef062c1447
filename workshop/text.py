"""The demo's T5: the published in-context prompt in, one short row of states out.

Training knows the words of the scenes only; the exported table has a zero row for every other word.
"""

import os
from pathlib import Path

import torch
from torch import Tensor
from transformers import T5Config, T5EncoderModel, T5TokenizerFast

from icedit_core.prompt import IC_TEMPLATE

from .editor import TEXT_WIDTH
from .plain_scenes.words import MARKS, vocabulary

LENGTH = 52  # tokens; the host pads to this through its t5xxl_min_length option
VOCABULARY = 32128
CONFIG = {
    "d_model": TEXT_WIDTH,
    "d_kv": 16,
    "num_heads": 4,
    "d_ff": 256,
    "num_layers": 2,
    "vocab_size": VOCABULARY,
    "dense_act_fn": "gelu_pytorch_tanh",
    "is_gated_act": True,
    "model_type": "t5",
}


def host_path() -> Path:
    """The ComfyUI folder that COMFYUI_PATH names.

    Raises:
        ValueError: it is not set, or is not ComfyUI.
    """
    path = Path(os.environ.get("COMFYUI_PATH", ""))
    if not (path / "comfy" / "text_encoders" / "t5_tokenizer").is_dir():
        raise ValueError(
            f"demo: got COMFYUI_PATH={str(path)!r}, but a ComfyUI folder is needed for its tokenizer. "
            "Set COMFYUI_PATH to one."
        )
    return path


def tokenizer_path() -> Path:
    """The folder of ComfyUI's T5 tokenizer."""
    return host_path() / "comfy" / "text_encoders" / "t5_tokenizer"


class Tokenizer:
    """Prompts to rows of the small word table, padded to `LENGTH`."""

    def __init__(self):
        self.t5 = T5TokenizerFast.from_pretrained(tokenizer_path())
        words = IC_TEMPLATE.format(instruction="").split() + vocabulary()
        words += [word + mark for word in words for mark in MARKS]
        known = {i for ids in self.t5(words)["input_ids"] for i in ids}
        self.ids = sorted(known | {0, 1})  # 0 pads, 1 ends
        self._rows = {token: row for row, token in enumerate(self.ids)}
        self.prefix = len(self.t5(IC_TEMPLATE.format(instruction="").rstrip())["input_ids"]) - 1

    def fits(self, prompt: str) -> bool:
        """Is the whole prompt within `LENGTH`?"""
        return len(self.t5(prompt)["input_ids"]) <= LENGTH

    def in_context(self, wishes: list[str]) -> Tensor:
        """The published prompt around each, (B, LENGTH) int64 rows."""
        return self([IC_TEMPLATE.format(instruction=wish) for wish in wishes])

    def __call__(self, prompts: list[str]) -> Tensor:
        """(B, LENGTH) int64 rows.

        Raises:
            ValueError: a word that training does not know, or a prompt that is too long.
        """
        rows = []
        for ids in self.t5(prompts)["input_ids"]:
            if len(ids) > LENGTH or not self._rows.keys() >= set(ids):
                raise ValueError(f"demo tokenizer: got tokens {ids}, but up to {LENGTH} known ones are needed.")
            rows.append([self._rows[i] for i in ids] + [self._rows[0]] * (LENGTH - len(ids)))
        return torch.tensor(rows)


def build(words: int) -> T5EncoderModel:
    """The encoder with a table of `words` rows."""
    return T5EncoderModel(T5Config(**{**_hf_config(), "vocab_size": words, "dropout_rate": 0.0}))


def _hf_config() -> dict:
    kept = {k: v for k, v in CONFIG.items() if k not in ("dense_act_fn", "is_gated_act", "model_type")}
    return {**kept, "feed_forward_proj": "gated-gelu"}


def full_state_dict(model: T5EncoderModel, ids: list[int]) -> dict[str, Tensor]:
    """The weights as the host names them, with the whole vocabulary."""
    state = {k: v.detach().float().clone() for k, v in model.state_dict().items() if k != "encoder.embed_tokens.weight"}
    table = torch.zeros(VOCABULARY, TEXT_WIDTH)
    table[ids] = state["shared.weight"]
    return {**state, "shared.weight": table}
