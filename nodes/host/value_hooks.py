"""Where the values of a model's attention can be had and replaced: FLUX's blocks, SD3's joint blocks.

Everything goes into the options of the caller's own clone, never into the model.
"""

import comfy.ldm.flux.model
import comfy.ldm.modules.diffusionmodules.mmdit
import comfy.model_management
import torch
from comfy.patcher_extension import WrappersMP
from comfy_api.torch_helpers.torch_compile import COMPILE_KEY

from ...icedit_core.inversion.values import DOUBLE, JOINT, SINGLE, Block, Values

OVERRIDE = "optimized_attention_override"


def blocks_of(model) -> list[Block]:
    """The blocks whose values can be handed over, in the network's order; none for kinds not known here."""
    network = model.get_model_object("diffusion_model")
    if isinstance(network, comfy.ldm.flux.model.Flux):
        kinds = ((DOUBLE, network.double_blocks), (SINGLE, network.single_blocks))
    elif isinstance(network, comfy.ldm.modules.diffusionmodules.mmdit.MMDiT):
        kinds = ((JOINT, network.joint_blocks),)
    else:
        return []
    return [(kind, number) for kind, blocks in kinds for number in range(len(blocks))]


def free_memory() -> int:
    """Of the main memory, in bytes."""
    return int(comfy.model_management.get_free_memory(torch.device("cpu")))


def hand_over(model, values: Values) -> None:
    """Let `model`, which must be the caller's own clone, show its values to `values` in every call.

    A compiled model would keep what it saw in its first call, so the clone is not compiled.
    """
    model.remove_wrappers_with_key(WrappersMP.APPLY_MODEL, COMPILE_KEY)
    if any(kind == JOINT for kind, _ in blocks_of(model)):
        _joint(model, values)
    else:
        model.set_model_attn1_patch(_flux(values))


def _flux(values: Values):
    def patch(q, k, v, pe=None, attn_mask=None, extra_options=None):
        block = (extra_options["block_type"], extra_options["block_index"])
        text = extra_options["img_slice"][0]
        return {"v": values.at(block, v, extra_options["cond_or_uncond"], text)}

    return patch


def _joint(model, values: Values) -> None:
    """SD3 calls no attention patch and knows no block numbers: a wrapper around each block says which one it is.

    Of the two attentions of a dual block the first one is the joint one; the second, of the image alone, is left.
    """
    now: list[tuple[Block, int]] = []  # the block whose joint attention comes next, and its text tokens

    def override(attention, q, k, v, *args, **kwargs):
        options = kwargs.get("transformer_options") or {}
        if now:
            block, text = now.pop()
            v = values.at(block, v, options["cond_or_uncond"], text)
        return previous(attention, q, k, v, *args, **kwargs)

    options = model.model_options["transformer_options"]
    previous = options.get(OVERRIDE) or (lambda attention, *args, **kwargs: attention(*args, **kwargs))
    options[OVERRIDE] = override
    for block in blocks_of(model):
        before = options.get("patches_replace", {}).get("dit", {}).get(("double_block", block[1]))
        model.set_model_patch_replace(_marked(now, block, before), "dit", "double_block", block[1])


def _marked(now: list, block: Block, before):
    def replace(args, extra):
        now[:] = [(block, args["txt"].shape[1])]
        try:
            return before(args, extra) if before else extra["original_block"](args)
        finally:
            now.clear()

    return replace
