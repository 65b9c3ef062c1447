"""A VAE of the host as a function from pictures to what it gives back of them."""

from collections.abc import Callable

from comfy.model_management import throw_exception_if_processing_interrupted as stop_if_interrupted
from torch import Tensor

__all__ = ["codec", "stop_if_interrupted"]


def codec(vae) -> Callable[[Tensor], Tensor]:
    """Encode and decode (1, h, w, 3) in [0, 1], as the host's VAEEncode and VAEDecode do."""

    def through(image: Tensor) -> Tensor:
        decoded = vae.decode(vae.encode(image[..., :3]))
        return decoded.reshape(-1, *decoded.shape[-3:])[:1, ..., :3].float().clamp(0, 1)  # a video VAE: one frame

    return through
