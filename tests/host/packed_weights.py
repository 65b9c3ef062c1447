"""A test double of a GGUF loader's tensors: integers in a tensor subclass, dequantised by the layer on every use.

It does what ComfyUI-GGUF's classes do as far as an adapter meets them: the tensor shows the shape of the weight and
holds bytes of another shape; the host's patches stay beside it and are added to what the layer dequantises.
"""

from collections import namedtuple

import comfy.lora
import comfy.model_patcher
import comfy.ops
import comfy.utils
import torch

BLOCK = 32
Backup = namedtuple("Backup", ["weight", "inplace_update"])


class Packed(torch.Tensor):
    """int8 blocks of 32, each with a float16 scale behind it: (rows, columns / 32 * 34)."""

    logical: torch.Size
    patches: tuple

    @staticmethod
    def of(weight):
        blocks = weight.float().unflatten(-1, (-1, BLOCK))
        scale = (blocks.abs().amax(-1, keepdim=True) / 127).clamp_min(1e-8).half()
        data = torch.cat([(blocks / scale.float()).round().to(torch.int8), scale.view(torch.int8)], -1).flatten(-2)
        return data.as_subclass(Packed)._like(weight.shape)

    def _like(self, shape, patches=()):
        self.logical, self.patches = torch.Size(shape), patches
        return self

    def to(self, *args, **kwargs):
        return super().to(*args, **kwargs)._like(self.logical, self.patches)

    def detach(self):
        return self

    def clone(self, *args, **kwargs):
        return self

    @property
    def shape(self):
        return getattr(self, "logical", self.size())

    def unpacked(self, dtype):
        blocks = self.as_subclass(torch.Tensor).unflatten(-1, (-1, BLOCK + 2))
        scale = blocks[..., BLOCK:].contiguous().view(torch.float16).float()
        weight = (blocks[..., :BLOCK].float() * scale).flatten(-2)
        for key, patches in self.patches:
            weight = comfy.lora.calculate_weight(patches, weight, key)
        return weight.to(dtype)


class Ops(comfy.ops.manual_cast):
    class Linear(comfy.ops.manual_cast.Linear):
        def _load_from_state_dict(self, state_dict, prefix, *rest):
            for name in ("weight", "bias"):
                if f"{prefix}{name}" in state_dict:
                    setattr(self, name, torch.nn.Parameter(state_dict[f"{prefix}{name}"], requires_grad=False))

        def forward_comfy_cast_weights(self, input):
            if not isinstance(self.weight, Packed):
                return super().forward_comfy_cast_weights(input)
            return torch.nn.functional.linear(input, self.weight.unpacked(input.dtype), self.bias.to(input.dtype))


class Patcher(comfy.model_patcher.ModelPatcher):
    """The host's patches stay with the packed weight."""

    def patch_weight_to_device(self, key, device_to=None, inplace_update=False, **_):
        weight = comfy.utils.get_attr(self.model, key)
        if not isinstance(weight, Packed):
            return super().patch_weight_to_device(key, device_to, inplace_update)
        if key in self.patches:
            self.backup.setdefault(key, Backup(weight, inplace_update))
            patched = weight.as_subclass(torch.Tensor).to(device_to).as_subclass(Packed)  # a tensor of its own
            patched._like(weight.logical, ((key, self.patches[key]),))
            comfy.utils.set_attr_param(self.model, key, patched)
        return None
