"""The parts of a base that stay frozen in training, and how each is loaded: what every kind of base hands over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

LATENT_CHANNELS = 16
LATENT_PIXELS = 8  # pixels a side of one latent cell


class Autoencoder(Protocol):
    """Pictures (B, 3, H, W) in [0, 1] to latents (B, 16, H/8, W/8) in the transformer's scale, and back."""

    def encode(self, images: Tensor) -> Tensor: ...

    def decode(self, latents: Tensor) -> Tensor: ...


class Tokens(Protocol):
    """The tokenizers alone: they are small, the encoders are not."""

    def problem(self, prompt: str) -> str | None:
        """Why the prompt cannot be encoded as a whole, or None."""


class Texts(Protocol):
    """The text encoders: prompts to T5 states (B, T, C), T the same for all, and pooled CLIP states (B, P)."""

    def encode(self, prompts: list[str]) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Parts:
    """How a base's parts are loaded, and what they are.

    Args:
        config: the keyword arguments of diffusers' `FluxTransformer2DModel`.
        guidance: the value given to the transformer's guidance embedding in training.
        text_tokens: length of the T5 states, padding included.
        encoders: identity of the autoencoder and the text encoders: equal text, equal latents and states.
        identity: identity of everything.
    """

    config: dict[str, Any]
    transformer: Callable[[torch.dtype, torch.device], torch.nn.Module]
    autoencoder: Callable[[torch.dtype, torch.device], Autoencoder]
    tokens: Callable[[], Tokens]
    texts: Callable[[torch.dtype, torch.device], Texts]
    guidance: float
    text_tokens: int
    encoders: str
    identity: str
