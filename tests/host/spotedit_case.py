"""SpotEdit's recorded runs on the real host: a small random FLUX.1 Kontext, its decoder's head, a whole sampling."""

import json
from pathlib import Path
from types import SimpleNamespace

import torch
from einops import rearrange
from safetensors.torch import load_file

from . import flux_case

GOLDEN = Path(__file__).parents[1] / "fixtures" / "spotedit"
CONFIG = json.loads((GOLDEN / "config.json").read_text())
H, W = CONFIG["tokens_hw"]
FULL = f"0-{CONFIG['initial_steps'] - 1}, {CONFIG['reset_steps'][0]}"


def recorded():
    return load_file(GOLDEN / "io.safetensors")


def weights():
    return {key: value.float() for key, value in load_file(GOLDEN / CONFIG["transformer"]).items()}


def latent(tokens):
    return rearrange(tokens, "b (h w) (c ph pw) -> b c (h ph) (w pw)", h=H, w=W, ph=2, pw=2)


def tokens(samples):
    return rearrange(samples, "b c (h ph) (w pw) -> b (h w) (c ph pw)", ph=2, pw=2)


def vae():
    """What the selector needs of the host's VAE: its own Decoder with the recorded head."""
    import comfy.diffusers_convert
    from comfy.ldm.modules.diffusionmodules.model import Decoder
    from comfy.model_patcher import ModelPatcher

    decoder = Decoder(
        ch=32, out_ch=3, ch_mult=[1, 1, 1, 1], num_res_blocks=2, attn_resolutions=[], in_channels=3, resolution=64,
        z_channels=16,
    )  # fmt: skip
    head = {key: value.float() for key, value in load_file(GOLDEN / "vae_decoder_head_diffusers.safetensors").items()}
    converted = comfy.diffusers_convert.convert_vae_state_dict(head)
    missing = decoder.load_state_dict({k.removeprefix("decoder."): v for k, v in converted.items()}, strict=False)
    assert not missing.unexpected_keys
    whole = torch.nn.Module()
    whole.decoder = decoder
    return SimpleNamespace(
        first_stage_model=whole, patcher=ModelPatcher(whole, torch.device("cpu"), torch.device("cpu"))
    )


def sample(model, sampler="euler", cfg=1.0, sigmas=None, seed=0, batch=1, **positive):
    """The recorded sampling through the host, in the model's own scale.

    Returns:
        tokens (batch, 36, 64) of the last latent.
    """
    import comfy.sample
    import comfy.samplers

    io = recorded()
    base = model.model
    noise = latent(io["noise"]).repeat(batch, 1, 1, 1)
    values = {
        "pooled_output": io["pooled"],
        "guidance": float(io["guidance"]),
        "reference_latents": [base.process_latent_out(latent(io["reference_tokens"]))],
    }
    cond = [[io["prompt_embeds"], values | positive]]
    uncond = [[io["prompt_embeds"].flip(1), values | positive]]
    with torch.no_grad():
        done = comfy.sample.sample_custom(
            model, noise, cfg, comfy.samplers.sampler_object(sampler), io["sigmas"] if sigmas is None else sigmas,
            cond, uncond, torch.zeros_like(noise), disable_pbar=True, seed=seed,
        )  # fmt: skip
    return tokens(base.process_latent_in(done))


load = flux_case.load
