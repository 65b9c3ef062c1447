"""A MODEL that computes only what changes: what is hung into a sampling of it, and what is taken out again."""

from collections.abc import Callable
from typing import Any

import comfy.model_patcher
import comfy.patcher_extension
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

from ...icedit_core.only_changes import kept
from . import changes_source, kept_keys, source_tokens
from .changes_session import Session
from .changes_settings import WHO, Settings
from .decoder_taps import decoder_of
from .short_steps import block_count, width

KEY = "icedit_only_changes"
OWN_STEPS = ("dpm_fast", "dpm_adaptive")
CORE_CACHE = "KV_Attn_Input"  # of ComfyUI's Flux KV Cache, which loads under a name of its own
TOKEN_PATCHES = ("double_block", "single_block", "attn1_patch", "attn1_output_patch", "noise_refiner")


def attach(
    model: ModelPatcher, settings: Settings, in_cpu_memory: bool, told: Callable[[Session, str], None]
) -> ModelPatcher:
    """Give a clone of `model` that spares what does not change; `model` itself stays as it is.

    Args:
        in_cpu_memory: keep keys and values there, not on the model's device.
        told: gets every finished sampling and the device of what was kept.
    Raises:
        ValueError: a model that has no such tokens, or one that another node already feeds part of its tokens.
    """
    changes_source.kind_of(model)
    _refuse(model.model_options.get("transformer_options", {}), model.wrappers)
    if settings.selector == "decoder" and settings.vae is None:
        raise ValueError(f"{WHO}: selector decoder, but no VAE is connected. Connect the editor's, or choose auto.")
    clone = model.clone()
    own = kept_keys.patcher(clone.load_device, clone.offload_device, in_cpu_memory)
    clone.set_additional_models(KEY, [own, *_looked_through(settings, clone)])

    def sampling(executor, *args, **kwargs):
        return _sampling(settings, told, executor, *args, **kwargs)

    clone.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, KEY)  # of this node before this node the last counts
    clone.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, sampling)
    return clone


def _looked_through(settings: Settings, model: ModelPatcher) -> list[ModelPatcher]:
    """The VAE's patcher where its decoder is asked, so that the host loads it beside the model."""
    asked = settings.method == "spot" and settings.selector in ("auto", "decoder") and settings.vae is not None
    fits = asked and decoder_of(settings.vae, model.model.latent_format.latent_channels) is not None
    return [settings.vae.patcher] if fits else []


def _sampling(settings, told, executor, noise, latent_image, sampler, sigmas, *rest, **more):
    """The host's `outer_sample` with everything in its own copy of the options; nothing is left of it afterwards."""
    guider = executor.class_obj
    holder = guider.model_patcher.get_additional_models_with_key(KEY)[0].model
    before = guider.model_options
    options = guider.model_options = comfy.model_patcher.create_model_options_clone(before)
    inner = options.setdefault("transformer_options", {})
    _refuse(inner, {})
    holder.expected = _expected(guider, noise)
    sessions: list[Session] = []

    def start(run, guider_, sigmas_, extra_args, callback, noise_, latent, *others, **rest_of_it):
        holder.begin()
        reason = _always_full(guider_, run.class_obj, extra_args["model_options"], noise_)
        session = _session(settings, holder, guider_, sigmas_, noise_, latent, reason)
        sessions.append(session)
        session_options = extra_args["model_options"]["transformer_options"]
        session.hooks.install(session_options, guider_.model_patcher.model.diffusion_model)
        return run(guider_, sigmas_, extra_args, callback, noise_, latent, *others, **rest_of_it)

    def predict(run, *args, **kwargs):
        return sessions[-1].predict(run, *args, **kwargs) if sessions else run(*args, **kwargs)

    def apply(run, *args, **kwargs):
        return sessions[-1].apply(run, *args, **kwargs) if sessions else run(*args, **kwargs)

    for kind, wrapper in (
        (WrappersMP.SAMPLER_SAMPLE, start),
        (WrappersMP.PREDICT_NOISE, predict),
        (WrappersMP.APPLY_MODEL, apply),
    ):
        comfy.patcher_extension.add_wrapper_with_key(kind, KEY, wrapper, options, is_model_options=True)
    try:
        result = executor(noise, latent_image, sampler, sigmas, *rest, **more)
        if sessions:
            sessions[-1].finish()
            told(sessions[-1], str(holder.keys_values.device))
        return result
    finally:
        guider.model_options = before
        holder.end()
        sessions.clear()


def _session(settings, holder, guider, sigmas, noise, latent, reason: str) -> Session:
    model = guider.model_patcher
    if reason:
        source = changes_source.unknown(model, noise)
    else:
        source = changes_source.of_sampling(settings, model, guider.conds.get("positive") or [], noise, latent)
    return Session(settings, holder, source, sigmas, reason)


def _refuse(options: dict[str, Any], wrappers: dict[str, Any]) -> None:
    """Name what else drops tokens of the same model; both at once would compute something else without a word."""
    patches = options.get("patches", {}).get("attn1_patch", [])
    found = ""
    if any(type(one).__name__ == CORE_CACHE for one in patches):
        found = "Flux KV Cache, which drops the reference tokens itself"
    every = (wrappers, options.get("wrappers", {}))
    if any(source_tokens.KEY in one.get(WrappersMP.APPLY_MODEL, {}) for one in every):
        found = "ICEdit X2 Adapter, whose source tokens stand at positions of their own"
    if found:
        raise ValueError(f"{WHO}: this model also has {found}. They cannot be joined: bypass one of the two nodes.")


def _always_full(guider, sampler, options: dict[str, Any], noise) -> str:
    """Why a sampling has to compute every token at every step, or ""."""
    conditions = [one for several in guider.conds.values() for one in several or ()]
    name = getattr(getattr(sampler, "sampler_function", None), "__name__", "")
    inner = options.get("transformer_options", {})
    reasons = (
        (any(own in name for own in OWN_STEPS), f"{name.removesuffix('_function')} chooses its own steps"),
        (any("control" in one for one in conditions), "a ControlNet adds to every token"),
        (any("attention_mask" in one["model_conds"] for one in conditions), "the text has an attention mask"),
        (any("area" in one for one in conditions), "a conditioning covers a part of the picture"),
        (any("hooks" in one for one in conditions), "a conditioning changes the weights"),
        ("multigpu_clones" in options, "several devices share the model's calls"),
        (options.get("context_handler") is not None, "the picture is sampled in windows"),
        (any(inner.get("patches", {}).get(one) for one in TOKEN_PATCHES), "another node patches the blocks' tokens"),
        (noise.ndim == 5 and noise.shape[2] > 1, "the latent holds several frames"),
        (noise.ndim not in (4, 5), "the latent holds several parts"),
    )
    return "; ".join(reason for holds, reason in reasons if holds)


def _expected(guider, noise) -> int:
    """Bytes that the keys and values of this sampling will take."""
    model = guider.model_patcher.model
    network = model.diffusion_model
    area = network.patch_size**2
    names = ["positive"] if getattr(guider, "cfg", 1.0) == 1.0 else list(guider.conds)
    count = 0
    for one in (one for name in names for one in guider.conds.get(name) or ()):
        pictures = [noise, *(one.get("reference_latents") or ())]
        words = one.get("cross_attn")
        count += sum(-(-each.shape[-2] * each.shape[-1] // area) for each in pictures)
        count += 0 if words is None else words.shape[1]
    return kept.size(len(noise) * count, width(network), block_count(network), model.get_dtype_inference().itemsize)
