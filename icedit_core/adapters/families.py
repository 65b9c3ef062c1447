"""LoRA files that are not for FLUX.1's transformer alone, told by the names of their tensors."""

from __future__ import annotations

import re
from collections.abc import Collection

from .names import listed

_WHO = "ICEdit adapter"
STOCK_LOADER = "ComfyUI's own 'Load LoRA (Model and CLIP)'"
_TEXT = re.compile(
    r"(?:base_model\.model\.)?(?:lora_(?:prior_)?te\d*[_.]|text_encoders?(?:_\d)?\.|clip_[lgh]\.|t5xxl\.|bundle_emb\.)"
)
_UNET = re.compile(r"(?:^|[._])(?:(?:input|output|down|up)_blocks[._]\d|middle_block[._]|mid_block[._]|label_emb[._])")
# Only Stable Diffusion 1.5 and 2 attend at full width; only SDXL has several transformer blocks in one place, and
# trainers name its blocks by number.
_SD1 = re.compile(r"(?:input_blocks[._][12][._]1[._]|down_blocks[._]0[._]attentions|up_blocks[._]3[._]attentions)")
_SDXL = re.compile(r"(?:(?:input|output)_blocks[._]\d|attentions[._]\d+[._]transformer_blocks[._][1-9])")
_OTHERS = {
    "Stable Diffusion 3": re.compile(r"(?:^|[._])joint_blocks[._]\d"),
    "Wan": re.compile(r"(?:^|[._])blocks[._]\d+[._](?:(?:self|cross)_attn[._][qkvo][._]|ffn[._]\d)"),
    "Qwen-Image": re.compile(r"(?:^|[._])transformer_blocks[._]\d+[._](?:img|txt)_(?:mlp|mod)[._]"),
    "Z-Image or Lumina": re.compile(r"(?:^|[._])layers[._]\d+[._](?:attention|feed_forward|adaLN_modulation)[._]"),
    "FLUX.2": re.compile(r"(?:double|single)_stream_modulation|[._]to_qkv_mlp_proj[._]"),
}


def check(keys: Collection[str]) -> None:
    """Refuse by name what only another loader, or another model, can use.

    Args:
        keys: all tensor names of a file.
    Raises:
        ValueError: a LoRA for another model, or one with layers of the text encoders; with the remedy.
    """
    family, theirs = _other_family(keys)
    if family:
        raise ValueError(
            f"{_WHO}: this is a LoRA for {family} ({listed(theirs, 2)}), but one for FLUX.1 is needed. "
            f"Choose a FLUX.1 LoRA here; use this file with its own model and {STOCK_LOADER}."
        )
    text = [key for key in keys if _TEXT.match(key)]
    if text:
        raise ValueError(
            f"{_WHO}: {len(text)} of {len(keys)} tensors are for the text encoders ({listed(text, 2)}), but this "
            f"loader gets the diffusion model alone. {_remedy(keys, text)}"
        )


def _other_family(keys: Collection[str]) -> tuple[str, list[str]]:
    """(name of the model the file is for, its tensors), or "" and none if nothing speaks against FLUX.1."""
    unet = [key for key in keys if _UNET.search(key)]
    if any(_SD1.search(key) for key in unet):
        return "Stable Diffusion 1.5 or 2", unet
    if any(_SDXL.search(key) for key in unet):
        return "SDXL", unet
    if unet:
        return "Stable Diffusion (SDXL or 1.5)", unet
    for family, sign in _OTHERS.items():
        if theirs := [key for key in keys if sign.search(key)]:
            return family, theirs
    return "", []


def _remedy(keys: Collection[str], text: Collection[str]) -> str:
    if any(".lora_route." in key for key in keys):
        return "That loader cannot use the file's experts: remove the text encoders' tensors from the file."
    if len(text) == len(keys):
        return f"Nothing is left for the model: use {STOCK_LOADER} instead."
    return f"Use {STOCK_LOADER} for this file, which loads both parts; this node can follow it with ICEdit's LoRA."
