"""What stays frozen in training: the transformer, the autoencoder and the text encoders, each loaded on first use.

The caches need the autoencoder and the text encoders, the training the transformer: loaded lazily, the full-size
model never holds all of them at once, and a complete cache never loads the encoders at all.
"""

from __future__ import annotations

import gc
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import base_demo, base_diffusers
from .parts import Autoencoder, Parts, Texts, Tokens


class Base:
    """A frozen FLUX Fill.

    Args:
        parts: how to load it.
        dtype: of weights and of everything computed with them.
        device: where it computes.
    """

    def __init__(self, parts: Parts, dtype: torch.dtype, device: torch.device):
        self._parts, self.dtype, self.device = parts, dtype, device
        self.config, self.guidance, self.text_tokens = parts.config, parts.guidance, parts.text_tokens

    @cached_property
    def transformer(self) -> Any:
        """diffusers' `FluxTransformer2DModel`, frozen, in eval mode."""
        return self._parts.transformer(self.dtype, self.device).requires_grad_(False).eval()

    @cached_property
    def _autoencoder(self) -> Autoencoder:
        return self._parts.autoencoder(self.dtype, self.device)

    @cached_property
    def _tokens(self) -> Tokens:
        return self._parts.tokens()

    @cached_property
    def _texts(self) -> Texts:
        return self._parts.texts(self.dtype, self.device)

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1] to latents (B, 16, H/8, W/8) in the transformer's scale."""
        return self._autoencoder.encode(images.to(self.device, self.dtype))

    @torch.no_grad()
    def decode_latents(self, latents: Tensor) -> Tensor:
        """Latents in the transformer's scale to pictures (B, 3, H, W) in [0, 1], float32."""
        return self._autoencoder.decode(latents.to(self.device, self.dtype)).float().clamp(0, 1)

    @torch.no_grad()
    def encode_prompts(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Prompts to T5 states (B, T, C) and pooled CLIP states (B, P).

        Raises:
            ValueError: a prompt that would not be encoded as a whole (see `prompt_problem`).
        """
        for prompt in prompts:
            if problem := self.prompt_problem(prompt):
                raise ValueError(f"text encoder: {prompt!r} {problem}. Shorten it.")
        return self._texts.encode(prompts)

    def prompt_problem(self, prompt: str) -> str | None:
        """Why `prompt` cannot be encoded as a whole, e.g. 'has 600 tokens, but at most 512 are read'; or None."""
        return self._tokens.problem(prompt)

    def drop_encoders(self, keep_autoencoder: bool = False) -> None:
        """Free the text encoders, and the autoencoder unless validation needs it; a later use loads them again."""
        for name in ("_texts", "_tokens") if keep_autoencoder else ("_texts", "_tokens", "_autoencoder"):
            self.__dict__.pop(name, None)
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def fingerprint(self) -> str:
        """Identity of the whole base and its type."""
        return f"{self._parts.identity}-{self.dtype}".replace("torch.", "")

    def encoders_fingerprint(self) -> str:
        """Identity of what the cache depends on: autoencoder, text encoders, type."""
        return f"{self._parts.encoders}-{self.dtype}".replace("torch.", "")


def load_base(
    model: str, dtype: torch.dtype = torch.bfloat16, device: str | torch.device = "cpu", tokenizer: str = ""
) -> Base:
    """A base from files on this machine; nothing is downloaded, and weights are read only when they are used.

    Args:
        model: a folder with the demo's files, or a folder in the layout that diffusers gives FLUX.1-Fill-dev.
        tokenizer: folder of the T5 tokenizer; the demo's files come without one.
    Raises:
        ValueError: no such folder, or files are missing.
    """
    folder, words = Path(model).expanduser(), Path(tokenizer).expanduser() if tokenizer else None
    parts = base_demo.parts(folder, words) if base_demo.is_here(folder) else base_diffusers.parts(folder)
    return Base(parts, dtype, torch.device(device))
