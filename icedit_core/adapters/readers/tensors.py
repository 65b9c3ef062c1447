"""Checks of single tensors that every reader makes before it uses them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..names import shown

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
_WHO = "ICEdit adapter"


def floats(key: str, tensor: Tensor, dimensions: int) -> Tensor:
    """The tensor itself, if it holds finite floating-point numbers in so many dimensions.

    Raises:
        ValueError: it does not; its name is in the message.
    """
    if tensor.ndim != dimensions or tensor.dtype not in FLOATS or not tensor.numel():
        raise ValueError(
            f"{_WHO}: {shown(key)} is {tensor.dtype} of shape {tuple(tensor.shape)}, but a float tensor of "
            f"{dimensions} dimensions is needed. The file is damaged or of another kind."
        )
    return finite(key, tensor)


def finite(key: str, tensor: Tensor) -> Tensor:
    """The tensor itself; it must stay finite in float32, in which the narrowest and the widest dtype are looked at."""
    if tensor.is_meta:  # an outline, which has no numbers
        return tensor
    seen = tensor.float() if tensor.element_size() in (1, 8) else tensor
    if not torch.isfinite(seen).all():
        raise ValueError(
            f"{_WHO}: {shown(key)} holds NaN or infinity (in float32), but finite numbers are needed. "
            "The file is damaged: download it again."
        )
    return tensor
