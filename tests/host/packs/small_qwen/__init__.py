"""A pack for the tests: the host's CLIP of type qwen_image with a small random language model.

The host's own loader fixes the sizes of Qwen2.5-VL 7B. The tower for pictures is left out: X2Edit sends none.
"""

from types import SimpleNamespace

import comfy.sd
import torch
from comfy import sd1_clip
from comfy.text_encoders import llama, qwen_image

LAYERS, WIDE, PAD = 3, 128, 151643
SIZES = {
    "vocab_size": 151_700, "hidden_size": WIDE, "intermediate_size": 96, "num_hidden_layers": LAYERS,
    "num_attention_heads": 1, "num_key_value_heads": 1,
}  # fmt: skip


class Small(llama.BaseLlama, torch.nn.Module):
    def __init__(self, _config, dtype, device, operations):
        super().__init__()
        self.num_layers = LAYERS
        config = llama.Qwen25_7BVLI_Config(**SIZES)
        self.model = llama.Llama2_(config, device=device, dtype=dtype, ops=operations)


class Encoder(sd1_clip.SDClipModel):
    def __init__(self, device="cpu", dtype=None, model_options=None):
        super().__init__(
            device=device, dtype=dtype, textmodel_json_config={}, special_tokens={"pad": PAD}, model_class=Small
        )


class Stage(sd1_clip.SD1ClipModel):
    def __init__(self, device="cpu", dtype=None, model_options=None):
        super().__init__(device=device, dtype=dtype, name="qwen25_7b", clip_model=Encoder)


def small_clip():
    target = SimpleNamespace(params={}, clip=Stage, tokenizer=qwen_image.QwenImageTokenizer)
    made = comfy.sd.CLIP(target, model_options={"dtype": torch.float32})
    draw = torch.Generator().manual_seed(0)
    for name, weight in made.cond_stage_model.named_parameters():
        scale = weight.shape[-1] ** -0.5 if weight.ndim == 2 else 0.1
        weight.data.copy_(torch.randn(weight.shape, generator=draw) * scale + ("norm" in name))
    return made


class SmallQwen:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    RETURN_TYPES = ("CLIP",)
    FUNCTION = "load"
    CATEGORY = "tests"

    def load(self):
        return (small_clip(),)


NODE_CLASS_MAPPINGS = {"SmallQwen": SmallQwen}
