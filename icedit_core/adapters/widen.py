"""Adapters of FLUX.1 dev on FLUX.1 Fill, whose input layer also reads the masked picture and the mask."""

from __future__ import annotations

import re
from dataclasses import replace

from .weights import Adapter, LowRank

DEV_INPUTS, FILL_INPUTS = 64, 384
_INPUT = re.compile(r"(?:.*[._])?(?:x_embedder|img_in)")


def for_fill(adapter: Adapter) -> tuple[Adapter, list[str]]:
    """Pad the update of dev's input layer to Fill's width with zeros; every other layer has the same shape in both.

    Fill's first 64 inputs are dev's, so the padded update does to the noise what it did and ignores the rest.

    Returns:
        The adapter, and the names of the layers that were padded.
    Source: diffusers, `FluxLoraLoaderMixin._maybe_expand_lora_state_dict`.
    """
    narrow = {
        name: _padded(update)
        for name, update in adapter.plain.items()
        if _INPUT.fullmatch(name) and update.down.shape[1] == DEV_INPUTS
    }
    return replace(adapter, plain={**adapter.plain, **narrow}), list(narrow)


def _padded(update: LowRank) -> LowRank:
    down = update.down.new_zeros(update.rank, FILL_INPUTS)  # (rank, 384)
    down[:, :DEV_INPUTS] = update.down
    return replace(update, down=down)
