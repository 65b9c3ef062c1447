"""Candidates and Finish on other editors: small random models of their kinds, against the stock KSampler.

FLUX.1 Kontext and FLUX.2 go through the host's loader, which reads their sizes off the state dict. Its loader fixes the
width of a Qwen-Image at 3072 (a block of 340 M parameters), so the small one is built by the host's own model classes
and skips the loader alone. No published weights are used, and no text encoder: the conditioning is random.
"""

import pytest
import torch

from ..rounding import assert_rounded
from . import flux_case as case

STEPS, EARLY, SEED, COUNT = 5, 2, 70, 3
FLUX = {"num_heads": 1, "hidden_size": 128, "context_in_dim": 32, "depth": 1, "depth_single_blocks": 1}
KONTEXT = FLUX | {
    "image_model": "flux",
    "guidance_embed": True,
    "in_channels": 16,
    "out_channels": 16,
    "vec_in_dim": 24,
    "mlp_ratio": 4.0,
    "axes_dim": [16, 56, 56],
    "theta": 10000,
    "patch_size": 2,
    "qkv_bias": True,
    "txt_ids_dims": [],
}
FLUX2 = FLUX | {
    "image_model": "flux2",
    "guidance_embed": True,
    "in_channels": 128,
    "out_channels": 128,
    "vec_in_dim": None,
    "mlp_ratio": 3.0,
    "axes_dim": [32, 32, 32, 32],
    "theta": 2000,
    "patch_size": 1,
    "qkv_bias": False,
    "txt_ids_dims": [3],
    "global_modulation": True,
    "mlp_silu_act": True,
    "ops_bias": False,
    "default_ref_method": "index",
    "ref_index_scale": 10.0,
}
QWEN = {"image_model": "qwen_image", "in_channels": 64, "num_layers": 2, "num_attention_heads": 1} | {
    "joint_attention_dim": 32
}


def random_base(kind, config):
    """The host's model of that size in float32, every weight drawn."""
    import comfy.supported_models

    built = getattr(comfy.supported_models, kind)(config)
    built.set_inference_dtype(torch.float32, None)
    base = built.get_model({}, "")
    draw = torch.Generator().manual_seed(3)
    for parameter in base.parameters():
        wide = parameter.shape[-1] if parameter.ndim > 1 else 16
        parameter.data = torch.randn(parameter.shape, generator=draw) * wide**-0.5
    return base


def through_the_loader(kind, config):
    model = case.load(random_base(kind, config).diffusion_model.state_dict())
    assert type(model.model.model_config).__name__ == kind, "the loader takes it for what it is"
    return model


def without_the_loader(kind, config):
    import comfy.model_management
    import comfy.model_patcher

    device = comfy.model_management.get_torch_device()
    return comfy.model_patcher.CoreModelPatcher(random_base(kind, config), device, torch.device("cpu"))


def drawn(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


EDITORS = {
    # name: (model, shape of the latent given, shape of what is sampled, width of the pooled text, cfg)
    "kontext": (lambda: through_the_loader("Flux", KONTEXT), (1, 16, 8, 12), (1, 16, 8, 12), 24, 1.0),
    "flux2": (lambda: through_the_loader("Flux2", FLUX2), (1, 128, 4, 6), (1, 128, 4, 6), None, 1.0),
    "qwen_image": (lambda: without_the_loader("QwenImage", QWEN), (1, 16, 8, 12), (1, 16, 1, 8, 12), None, 2.5),
    "qwen_image_5d": (lambda: without_the_loader("QwenImage", QWEN), (1, 16, 1, 8, 12), (1, 16, 1, 8, 12), None, 2.5),
}


@pytest.fixture(scope="module", params=EDITORS)
def editor(request, pack):
    from icedit_pack.nodes.host import sampling

    make, shape, sampled, pooled, cfg = EDITORS[request.param]
    return sampling, make(), shape, sampled, pooled, cfg


def recipe(editor, mask=False, sampler="euler", reference=5):
    """An empty latent, or a drawn one with a mask; the source comes in as a reference latent."""
    sampling, model, shape, sampled, pooled, cfg = editor

    def condition(seed):
        values = {"guidance": 3.5, "reference_latents": [drawn(*sampled, seed=reference)]}
        if pooled:
            values["pooled_output"] = drawn(1, pooled, seed=seed)
        return [[drawn(1, 7, 32, seed=seed), values]]

    latent = {"samples": drawn(*shape) if mask else torch.zeros(shape)}
    if mask:
        latent["noise_mask"] = (torch.rand(1, 64, 96, generator=torch.Generator().manual_seed(6)) > 0.5).float()
    return sampling.Recipe(model, condition(2), condition(3), latent, STEPS, cfg, sampler, "simple")


def stock(recipe, seed):
    import nodes

    settings = (recipe.steps, recipe.cfg, recipe.sampler, recipe.scheduler, recipe.positive, recipe.negative)
    with torch.no_grad():
        return nodes.common_ksampler(recipe.model, seed, *settings, recipe.latent)[0]["samples"]


def filtered(editor, recipe, winner, batch=1):
    with torch.no_grad():
        candidates = editor[0].begin(recipe, SEED, COUNT, EARLY, batch)
        return candidates, editor[0].finish(candidates, (winner,))[0]["samples"]


@pytest.mark.parametrize("mask", [False, True])
def test_the_winner_is_the_stock_samplers_picture(editor, mask):
    one = recipe(editor, mask)
    candidates, samples = filtered(editor, one, winner=2)
    assert tuple(samples.shape) == editor[3]
    assert torch.equal(samples, stock(one, SEED + 2))
    assert not torch.equal(samples, stock(one, SEED + 1)), "another seed is another picture"
    assert [tuple(preview.shape) for preview in candidates.previews] == [editor[3]] * COUNT


def test_candidates_in_one_batch_differ_by_rounding_only(editor):
    one = recipe(editor)
    _, samples = filtered(editor, one, winner=1, batch=COUNT)
    assert_rounded(samples, stock(one, SEED + 1))


def test_a_sampler_with_a_history_starts_again(editor):
    one = recipe(editor, sampler="dpmpp_2m")
    _, samples = filtered(editor, one, winner=1)
    assert torch.equal(samples, stock(one, SEED + 1))


def test_twelve_candidates_of_a_full_diptych_keep_their_latents_only(pack):
    """1024 x 512 px: 12 states and 12 previews of 16 x 64 x 128 float32 values, 6.3 MB each kind, and nothing else."""
    from icedit_pack.nodes.host import sampling

    editor = (sampling, through_the_loader("Flux", KONTEXT), (1, 16, 64, 128), (1, 16, 8, 12), 24, 1.0)
    with torch.no_grad():
        candidates = sampling.begin(recipe(editor), SEED, 12, 1)
    for kept in (candidates.states, candidates.previews):
        storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in kept}
        assert sum(storages.values()) == 12 * 16 * 64 * 128 * 4 == 6_291_456
    assert candidates.recipe.latent["samples"].nbytes == 16 * 64 * 128 * 4


def test_the_reference_is_seen(editor):
    """Else the models above would be plain text-to-image ones."""
    _, samples = filtered(editor, recipe(editor), winner=0)
    _, other = filtered(editor, recipe(editor, reference=9), winner=0)
    assert case.error(other, samples) > 1e-3
