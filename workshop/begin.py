"""Exported weights as the start of a further training."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from .autoencoder import TinyAutoencoder


def load_autoencoder(weights: Path) -> TinyAutoencoder:
    """The exported autoencoder.

    A block that its training left out is zero in the file, through which nothing could be learned: it keeps the random
    start of a new block, whose last convolution is zero, so that the picture is the same.
    """
    model = TinyAutoencoder()
    state = {k: v.float() for k, v in load_file(weights / "icedit_demo_vae.safetensors").items()}
    out = {key.partition(".conv.")[0] for key, v in state.items() if key.endswith(".conv.0.weight") and not v.any()}
    begun = model.state_dict()
    model.load_state_dict({key: begun[key] if key.partition(".conv.")[0] in out else state[key] for key in begun})
    return model.to(memory_format=torch.channels_last)


@torch.no_grad()
def load_base(live: nn.ModuleDict, ids: list[int], weights: Path) -> None:
    """Fill {"flux", "t5"} from the exported files. A word that the file does not know keeps its random row."""
    flux = load_file(weights / "icedit_demo_fill.safetensors")
    live["flux"].load_state_dict({k: v.float() for k, v in flux.items()})
    state = {k: v.float() for k, v in load_file(weights / "icedit_demo_t5.safetensors").items()}
    rows = state.pop("shared.weight")[ids]
    known = rows.abs().sum(dim=1) > 0
    fresh = torch.randn(rows.shape, generator=torch.Generator().manual_seed(0)) * rows[known].std()
    table = torch.where(known[:, None], rows, fresh)
    encoder = {**state, "shared.weight": table, "encoder.embed_tokens.weight": table}
    live["t5"].load_state_dict(encoder)


def falling(progress: float, step: int) -> float:
    """The share of the rates for weights that learned before: a warm-up, and falling from the start to nothing."""
    return min(1.0, (step + 1) / 100) * (1.01 - progress)
