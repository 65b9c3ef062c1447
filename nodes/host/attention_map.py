"""One model call in which the attention of the image's tokens to chosen words is summed."""

from typing import Any

import torch
from comfy.ldm.flux.math import apply_rope
from comfy.ldm.flux.model import Flux
from torch import Tensor

from ...icedit_core.attention_map import WHO, places, share
from ...icedit_core.panels import right
from . import fill
from .previews import is_diptych
from .run import ask_once, for_one_call, noise_of

T5_END = 1
ENCODER = "t5xxl"


def tokens(clip, text: str) -> list[int]:
    """The T5 tokens of a text up to its end.

    Raises:
        ValueError: text encoders without a T5.
    """
    found = clip.tokenize(text)
    if ENCODER not in found:
        raise ValueError(
            f"{WHO}: these text encoders are {', '.join(found)}, but FLUX.1's T5 is needed, whose tokens the model "
            "reads. Load CLIP-L and T5-XXL with DualCLIPLoader, type flux."
        )
    return [pair[0] for row in found[ENCODER] for pair in row if pair[0] not in (0, T5_END)]


def look(
    model, positive, latent: dict[str, Any], clip, prompt: str, words: str, sigma: float, seed: int, blocks: range
) -> Tensor:
    """Call the model once at `sigma`, as a sampler does, and watch where the words look.

    Args:
        prompt: the text of `positive`, as it was encoded.
        words: a part of it.
        blocks: which of FLUX's blocks, the double ones first.
    Returns:
        (B, h, w): each image token's attention to the words, the mean over blocks and heads; of a diptych the right
            panel alone.
    Raises:
        ValueError: not FLUX, words not in the prompt, or no block in the range.
    """
    network = model.get_model_object("diffusion_model")
    if not isinstance(network, Flux):
        raise ValueError(f"{WHO}: the model is {fill.name_of(model)}, but FLUX is needed. Load a FLUX model.")
    doubles, count = len(network.double_blocks), len(network.double_blocks) + len(network.single_blocks)
    if not set(blocks) & set(range(count)):
        raise ValueError(
            f"{WHO}: blocks {blocks.start} to {blocks.stop - 1} are asked for, but the model has 0 to {count - 1}. "
            "Choose some of these."
        )
    chosen = places(tokens(clip, prompt), tokens(clip, words))
    recipe, image, grid = for_one_call(model, positive, latent)
    maps: list[Tensor] = []

    def watch(q, k, v, pe=None, attn_mask=None, extra_options=None):
        number = extra_options["block_index"] + (doubles if extra_options["block_type"] == "single" else 0)
        if number in blocks:
            text = extra_options["img_slice"][0]
            turned_q, turned_k = apply_rope(q, k, pe) if pe is not None else (q, k)
            own = slice(text, text + grid[0] * grid[1])
            maps.append(share(turned_q[:, :, own], turned_k, chosen).cpu().unflatten(1, grid))
        return {}

    recipe.model.set_model_attn1_patch(watch)
    ask_once(recipe, noise_of(recipe, image, seed), image, sigma, seed)
    found = torch.stack(maps).mean(0)
    if is_diptych([values for _, values in positive], latent.get("noise_mask")):
        found = right(found)
    return found
