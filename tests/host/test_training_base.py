"""The demo model as the trainer's base gives what the host gives for its files: text, latents, pictures, velocity."""

import pytest
import torch

from ..rounding import assert_rounded
from . import graphs

PROMPTS = [
    "A diptych with two side-by-side images of the same scene. On the right, the scene is exactly the same as on the "
    "left but turn the cyan circle red",
    "remove the small yellow star",
    "paint a word it never saw, like quixotry",
    " ",
]


@pytest.fixture(scope="module")
def host(pack):
    """MODEL, CLIP and VAE as the demo's node loads them."""
    from icedit_pack.nodes.host.demo import load_demo_model

    return load_demo_model()


@pytest.fixture(scope="module")
def base(pack, comfyui):
    from icedit_pack.icedit_core.training.base import load_base

    tokenizer = comfyui / "comfy" / "text_encoders" / "t5_tokenizer"
    return load_base(str(graphs.WEIGHTS), torch.float32, tokenizer=str(tokenizer))


@pytest.fixture(scope="module")
def diptychs() -> torch.Tensor:
    """(2, 3, 64, 128), the second with a grey right panel."""
    pictures = torch.rand(2, 3, 8, 16, generator=torch.Generator().manual_seed(0)).repeat_interleave(8, 2)
    pictures = pictures.repeat_interleave(8, 3)
    pictures[1, :, :, 64:] = 0.5
    return pictures


@torch.no_grad()
def test_text(host, base):
    import nodes

    states, pooled = base.encode_prompts(PROMPTS)
    for i, prompt in enumerate(PROMPTS):
        expected, extra = nodes.CLIPTextEncode().encode(host[1], prompt)[0][0]
        assert_rounded(states[i : i + 1], expected)
        assert_rounded(pooled[i : i + 1], extra["pooled_output"])


@torch.no_grad()
def test_latents_and_pictures(host, base, diptychs):
    import comfy.latent_formats

    outside = host[2].encode(diptychs.permute(0, 2, 3, 1).contiguous())
    latents = base.encode_images(diptychs)
    assert_rounded(latents, comfy.latent_formats.Flux().process_in(outside))
    assert_rounded(base.decode_latents(latents), host[2].decode(outside).permute(0, 3, 1, 2))


@torch.no_grad()
def test_velocity(host, base, diptychs):
    """One call of the transformer, with the host's own packing on the one side and diffusers' on the other."""
    import comfy.model_management
    from diffusers import FluxFillPipeline

    comfy.model_management.load_models_gpu([host[0]])
    states, pooled = base.encode_prompts(PROMPTS[:2])
    given = base.encode_images(diptychs)
    b, c, h, w = given.shape
    noisy = torch.randn(given.shape, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(b, 64, h, w)
    mask[..., w // 2 :] = 1
    t = torch.full((b,), 0.7)
    guidance = torch.full((b,), base.guidance)
    concat = torch.cat([given, mask], 1)
    denoised = host[0].model.apply_model(noisy, t, c_concat=concat, c_crossattn=states, y=pooled, guidance=guidance)
    tokens = [FluxFillPipeline._pack_latents(part, b, part.shape[1], h, w) for part in (noisy, given, mask)]
    found = base.transformer(
        hidden_states=torch.cat(tokens, -1),
        encoder_hidden_states=states,
        pooled_projections=pooled,
        timestep=t,
        guidance=guidance,
        img_ids=FluxFillPipeline._prepare_latent_image_ids(b, h // 2, w // 2, "cpu", torch.float32),
        txt_ids=torch.zeros(states.shape[1], 3),
        return_dict=False,
    )[0]
    expected = FluxFillPipeline._pack_latents((noisy - denoised) / t[:, None, None, None], b, c, h, w)
    assert_rounded(found, expected)


@torch.no_grad()
def test_the_pooled_text_changes_nothing(host, base):
    """So a CLIP-L of zeros, which packs to nothing, does."""
    import comfy.model_management

    comfy.model_management.load_models_gpu([host[0]])
    states, pooled = base.encode_prompts(PROMPTS[:1])
    draw = torch.Generator().manual_seed(0)
    noisy, given = torch.randn(1, 16, 8, 16, generator=draw), torch.randn(1, 80, 8, 16, generator=draw)
    other = 3 * torch.randn(pooled.shape, generator=draw)
    t, guidance = torch.full((1,), 0.5), torch.full((1,), base.guidance)
    made = [
        host[0].model.apply_model(noisy, t, c_concat=given, c_crossattn=states, y=y, guidance=guidance)
        for y in (pooled, other)
    ]
    assert not pooled.any() and torch.equal(*made)
