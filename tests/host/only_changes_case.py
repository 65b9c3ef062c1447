"""Small random editors in the host's own classes: Kontext, FLUX.2, Qwen-Image-Edit, FLUX Fill; a few steps of them."""

from types import SimpleNamespace

import torch

from . import condition_case, flux_case, spotedit_case

SIZES = {
    "flux2": {
        "image_model": "flux2", "in_channels": 128, "out_channels": 128, "vec_in_dim": None, "context_in_dim": 64,
        "hidden_size": 128, "mlp_ratio": 3.0, "num_heads": 1, "depth": 1, "depth_single_blocks": 2,
        "axes_dim": [32, 32, 32, 32], "theta": 2000, "patch_size": 1, "qkv_bias": False, "ops_bias": False,
        "guidance_embed": True, "global_modulation": True, "mlp_silu_act": True, "default_ref_method": "index",
        "ref_index_scale": 10.0, "txt_ids_dims": [3],
    },
    "qwen": {
        "image_model": "qwen_image", "in_channels": 64, "out_channels": 16, "num_layers": 2, "num_attention_heads": 1,
        "attention_head_dim": 128, "joint_attention_dim": 64,
    },
}  # fmt: skip
LATENTS = {"kontext": (16, 8, 12), "flux2": (128, 6, 8), "qwen": (16, 1, 12, 16), "fill": (16, 8, 16)}


def small(kind, **more):
    """A MODEL of the host's own class with random weights, float32."""
    import comfy.supported_models
    from comfy.model_patcher import ModelPatcher

    if kind == "fill":
        return flux_case.load(flux_case.weights())
    if kind == "kontext":
        return flux_case.load(spotedit_case.weights())
    config = {"flux2": comfy.supported_models.Flux2, "qwen": comfy.supported_models.QwenImage}[kind]
    config = config(SIZES[kind] | more)
    config.set_inference_dtype(torch.float32, None)
    base = config.get_model({}, "")
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in base.diffusion_model.named_parameters():
            wide = weight.shape[-1] if weight.ndim > 1 else 1
            weight.copy_(torch.randn(weight.shape, generator=draw) * wide**-0.5 * (1 if weight.ndim > 1 else 0.1))
            if "norm" in name and weight.ndim == 1:
                weight.add_(1)
    return ModelPatcher(base.eval(), torch.device("cpu"), torch.device("cpu"))


def ours():
    """attach(MODEL, list of finished sessions, settings) -> MODEL; key: of what it hangs in; words(session)."""
    from icedit_pack.nodes.host import changes_settings, changes_shown, only_changes

    def attach(model, heard=None, in_cpu_memory=False, **settings):
        told = (lambda session, where: None) if heard is None else (lambda session, where: heard.append(session))
        return only_changes.attach(model, changes_settings.Settings(**settings), in_cpu_memory, told)

    words = lambda session: changes_shown.words(session, "cpu")  # noqa: E731
    return SimpleNamespace(attach=attach, key=only_changes.KEY, words=words)


def half():
    """Settings: a mask of the picture's upper left part, or of the panel's, is the region."""
    mask = torch.zeros(1, 16, 16)
    mask[:, :8, :8] = 1
    return {"mask": mask, "mask_use": "fix"}


def inputs(model, kind, batch=1, references=1, reference=None, words=7, seed=0, size=None, **more):
    """Noise, conditioning and latent of a short sampling. size: (H, W) of another latent, of all but Fill."""
    draw = torch.Generator().manual_seed(seed)
    shape = LATENTS[kind] if size is None else (*LATENTS[kind][:-2], *size)
    noise = torch.randn(batch, *shape, generator=draw)
    if kind == "fill":
        source = torch.randn(1, 16, 8, 8, generator=draw).repeat(1, 1, 1, 2)
        mask = torch.zeros(1, 1, 64, 128)
        mask[..., 64:] = 1
        latent = model.model.process_latent_out(source)
        cond = condition_case.conditioning(words, seed, concat_latent_image=latent, concat_mask=mask, **more)
        return noise, cond, latent.repeat(batch, 1, 1, 1)
    sizes = [reference or shape] * references
    found = [model.model.process_latent_out(torch.randn(1, *size, generator=draw)) for size in sizes]
    values = {"guidance": 3.5, "reference_latents": found} if references else {"guidance": 3.5}
    if kind == "kontext":
        values["pooled_output"] = torch.randn(1, 32, generator=draw)
    return noise, [[torch.randn(1, words, 64, generator=draw), values | more]], torch.zeros_like(noise)


def qwen_2511():
    """Qwen-Image-Edit as 2511 is used, its reference of another size -> MODEL, inputs, source of the sampled size."""
    model = small("qwen", default_ref_method="index_timestep_zero")
    source = torch.randn(1, *LATENTS["qwen"], generator=torch.Generator().manual_seed(5))
    return model, inputs(model, "qwen", reference=(16, 1, 8, 10)), {"samples": source}


def sample(model, given, sampler="euler", steps=5, cfg=1.0, callback=None, sigmas=None, negative=None, seed=0):
    import comfy.sample
    import comfy.samplers

    noise, positive, latent = given
    sigmas = torch.linspace(1, 0, steps + 1) if sigmas is None else sigmas
    with torch.no_grad():
        return comfy.sample.sample_custom(
            model, noise.clone(), cfg, comfy.samplers.sampler_object(sampler), sigmas.clone(), positive,
            negative or positive, latent, callback=callback, disable_pbar=True, seed=seed,
        )  # fmt: skip
