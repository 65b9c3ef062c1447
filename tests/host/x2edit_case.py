"""X2Edit's recorded case on the real host: one velocity evaluation through the host's own sampler."""

import json
from pathlib import Path

import torch
from einops import rearrange
from safetensors.torch import load_file, save_file

from . import flux_case

GOLDEN = Path(__file__).parents[1] / "fixtures" / "x2edit"
CONFIG = json.loads((GOLDEN / "config.json").read_text())
H, W = CONFIG["latent_patches_hw"]
INPUTS = ("noise_tokens", "source_tokens", "ctx", "pooled", "timestep", "guidance")
LAYERS = {  # recorded layer -> the host's module and the first of its rows
    "transformer_blocks.0.q_moe_lora": ("double_blocks.0.img_attn.qkv", 0),
    "transformer_blocks.0.proj_moe_lora": ("double_blocks.0.img_attn.proj", 0),
    "single_transformer_blocks.0.v_moe_lora": ("single_blocks.0.linear1", 256),
}


def weights():
    """The random FLUX.1 dev in diffusers' naming, float32."""
    return {key: value.float() for key, value in load_file(GOLDEN / "flux_dev_tiny_diffusers.safetensors").items()}


def recorded():
    return load_file(GOLDEN / "io.safetensors")


def tensors():
    """The adapter's one file, less AlignNet."""
    tasks = torch.load(GOLDEN / "task_embeddings.bin", weights_only=True)["weight"]
    return load_file(GOLDEN / "lora.safetensors") | {"task_embeddings.weight": tasks}


def save_adapter(path):
    save_file(tensors(), path, {"top_k": "2"})


def latent(tokens):
    """Tokens (B, h*w, 64) as the host's latent (B, 16, 2h, 2w)."""
    return rearrange(tokens, "b (h w) (c ph pw) -> b c (h ph) (w pw)", h=H, w=W, ph=2, pw=2)


def evaluate(model, taps=(), batch=1, io=None, sources="one", fail=False):
    """Run the recorded inputs once inside the host's sampler, where the wrappers are in force.

    Args:
        model: the host's MODEL.
        taps: module names whose input and output are wanted.
        batch: how often the recorded sample stands in the batch.
        sources: "one", "none" or "two" reference latents.
        fail: raise in the middle of sampling, after the model call.
    Returns:
        velocity tokens (batch, 24, 64), and name -> (input, output) of the taps.
    """
    import comfy.sample
    import comfy.samplers

    io = io or recorded()
    noise, source = (latent(io[name]).repeat(batch, 1, 1, 1) for name in ("noise_tokens", "source_tokens"))
    time = io["timestep"].repeat(batch)
    references = {"one": [source], "none": None, "two": [source, source]}[sources]
    result, tapped = [], {}

    def one_call(guider, latent_image, sigmas, extra_args, callback, disable=None, **_):
        base = guider.inner_model.inner_model
        hooks = [
            base.diffusion_model.get_submodule(name).register_forward_hook(
                lambda _module, inputs, output, name=name: tapped.update({name: (inputs[0].clone(), output.clone())})
            )
            for name in taps
        ]
        denoised = base.apply_model(
            noise,
            time,
            c_crossattn=io["ctx"].repeat(batch, 1, 1),
            y=io["pooled"].repeat(batch, 1),
            guidance=io["guidance"].repeat(batch),
            ref_latents=references,
            transformer_options=extra_args["model_options"]["transformer_options"],
        )
        for hook in hooks:
            hook.remove()
        if fail:
            raise RuntimeError("stopped in the middle of sampling")
        velocity = (noise - denoised) / time.view(-1, 1, 1, 1)
        result.append(rearrange(velocity, "b c (h ph) (w pw) -> b (h w) (c ph pw)", ph=2, pw=2))
        return latent_image

    empty = torch.zeros_like(noise)
    positive = [[io["ctx"][:1], {"pooled_output": io["pooled"][:1]}]]
    with torch.no_grad():
        comfy.sample.sample_custom(
            model, empty, 1.0, comfy.samplers.KSAMPLER(one_call), torch.tensor([1.0, 0.0]), positive, positive, empty
        )
    return result[0], tapped


load, error = flux_case.load, flux_case.error
