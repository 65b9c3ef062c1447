"""The recorded FLUX Fill case on the real host: one velocity evaluation through the host's own sampler."""

from pathlib import Path

import torch
from einops import rearrange
from safetensors.torch import load_file

from ..rounding import error

__all__ = ["error"]

GOLDEN = Path(__file__).parents[1] / "fixtures" / "icedit_moe"
ADAPTER = GOLDEN / "pytorch_lora_weights.safetensors"
GRID = {"h": 4, "w": 8}  # tokens
PATCH = {"ph": 2, "pw": 2}


def weights() -> dict[str, torch.Tensor]:
    """The random FLUX Fill in diffusers' naming, float32."""
    return {key: value.float() for key, value in load_file(GOLDEN / "flux_fill_tiny_diffusers.safetensors").items()}


def recorded() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / "io.safetensors")


def load(state_dict):
    """A float32 MODEL through the host's loader."""
    import comfy.sd

    return comfy.sd.load_diffusion_model_state_dict(dict(state_dict), model_options={"dtype": torch.float32})


def evaluate(model, taps=(), fail=False, io=None):
    """Run the recorded inputs once inside the host's sampler, where the wrappers are in force.

    Args:
        model: the host's MODEL.
        taps: module names whose input and output are wanted.
        fail: raise in the middle of sampling, after one model call.
    Returns:
        velocity tokens (2, 32, 64), and name -> (input, output) of the taps.
    """
    import comfy.sample
    import comfy.samplers

    io = io or recorded()
    x = rearrange(io["hidden"], "b (h w) (c ph pw) -> b c (h ph) (w pw)", **GRID, **PATCH)
    noisy, condition = x[:, :16], x[:, 16:]
    time = io["timestep"]
    result, tapped = [], {}

    def one_call(guider, latent, sigmas, extra_args, callback, disable=None, **_):
        base = guider.inner_model.inner_model
        hooks = [
            base.diffusion_model.get_submodule(name).register_forward_hook(
                lambda _module, inputs, output, name=name: tapped.update({name: (inputs[0].clone(), output.clone())})
            )
            for name in taps
        ]
        denoised = base.apply_model(
            noisy,
            time,
            c_concat=condition,
            c_crossattn=io["ctx"],
            y=io["pooled"],
            guidance=io["guidance"],
            transformer_options=extra_args["model_options"]["transformer_options"],
        )
        for hook in hooks:
            hook.remove()
        if fail:
            raise RuntimeError("stopped in the middle of sampling")
        velocity = (noisy - denoised) / time.view(-1, 1, 1, 1)
        result.append(rearrange(velocity, "b c (h ph) (w pw) -> b (h w) (c ph pw)", **PATCH))
        return latent

    latent = torch.zeros_like(noisy)
    positive = [[io["ctx"][:1], {"pooled_output": io["pooled"][:1], "concat_latent_image": latent[:1]}]]
    with torch.no_grad():
        comfy.sample.sample_custom(
            model,
            latent,
            1.0,
            comfy.samplers.KSAMPLER(one_call),
            torch.tensor([1.0, 0.0]),
            positive,
            positive,
            latent,
        )
    return result[0], tapped


def random_adapter(weights, generator, rank=32, experts=4):
    """A MoE-LoRA with random values on every published target, for weights in diffusers' naming."""
    tensors = {}

    def matrix(*shape, scale):
        return torch.randn(shape, generator=generator) * scale

    for key in [key for key in weights if key.endswith(".weight") and weights[key].ndim == 2]:
        name = key.removesuffix(".weight")
        out, wide = weights[key].shape
        prefix = f"transformer.{name}"
        if name.endswith("ff.net.2") or (name.startswith("single") and name.endswith("proj_out")):
            tensors[f"{prefix}.lora_route.weight"] = matrix(experts, wide, scale=wide**-0.5)
            for i in range(experts):
                tensors[f"{prefix}.lora_A.expert_{i}.weight"] = matrix(rank, wide, scale=wide**-0.5)
                tensors[f"{prefix}.lora_B.expert_{i}.weight"] = matrix(out, rank, scale=0.05)
        elif name == "x_embedder" or name.endswith(
            ("attn.to_q", "attn.to_k", "attn.to_v", "to_out.0", "norm1.linear", "norm.linear", "proj_mlp")
        ):
            tensors[f"{prefix}.lora_A.weight"] = matrix(rank, wide, scale=wide**-0.5)
            tensors[f"{prefix}.lora_B.weight"] = matrix(out, rank, scale=0.05)
    return tensors
