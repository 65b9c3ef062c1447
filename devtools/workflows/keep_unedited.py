"""Edits of three other editors, with the host's own nodes, back on their source: edit, then ICEdit Keep Unedited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..graph import Column, Group, Link, Node, Workflow
from .any_editor import INSTRUCTION, KONTEXT
from .edit import AMBER, BLUE, GREEN, NARROW, PURPLE, WIDE, models_column, note_node
from .models import AE, CLIP_L, HUB, T5

QWEN = {
    "name": "qwen_image_edit_2511_fp8mixed.safetensors",
    "url": f"{HUB}/Comfy-Org/Qwen-Image-Edit_ComfyUI/resolve/main/split_files/diffusion_models/"
    "qwen_image_edit_2511_fp8mixed.safetensors",
    "directory": "diffusion_models",
}
QWEN_CLIP = {
    "name": "qwen_2.5_vl_7b_fp8_scaled.safetensors",
    "url": f"{HUB}/Comfy-Org/HunyuanVideo_1.5_repackaged/resolve/main/split_files/text_encoders/"
    "qwen_2.5_vl_7b_fp8_scaled.safetensors",
    "directory": "text_encoders",
}
QWEN_VAE = {
    "name": "qwen_image_vae.safetensors",
    "url": f"{HUB}/Comfy-Org/Qwen-Image_ComfyUI/resolve/main/split_files/vae/qwen_image_vae.safetensors",
    "directory": "vae",
}
KLEIN = {
    "name": "flux-2-klein-4b-fp8.safetensors",
    "url": f"{HUB}/black-forest-labs/FLUX.2-klein-4b-fp8/resolve/main/flux-2-klein-4b-fp8.safetensors",
    "directory": "diffusion_models",
}
KLEIN_CLIP = {
    "name": "qwen_3_4b.safetensors",
    "url": f"{HUB}/Comfy-Org/z_image_turbo/resolve/main/split_files/text_encoders/qwen_3_4b.safetensors",
    "directory": "text_encoders",
}
FLUX2_VAE = {
    "name": "flux2-vae.safetensors",
    "url": f"{HUB}/Comfy-Org/flux2-dev/resolve/main/split_files/vae/flux2-vae.safetensors",
    "directory": "vae",
}
ONE = Mapping[str, Node]
VAE = Link("vae")


def keep_workflows(note: Callable[[str], str]) -> dict[str, Workflow]:
    """File name -> workflow, for each editor; `note` gives the text of a note."""
    return {
        "keep_kontext": kept_edit(kontext_files(), kontext(), _kontext_sampling(), note("keep_kontext")),
        "keep_qwen_image_edit": kept_edit(qwen_files(), qwen_prepare(), _qwen_sampling(), note("keep_qwen_image_edit")),
        "keep_flux2": kept_edit(_flux2_files(), _flux2(), _flux2_sampling(), note("keep_flux2")),
    }


def kept_edit(
    loaders: ONE, prepare: ONE, sample: ONE, note: str, asked: ONE | None = None, prefix: str = "ICEdit/keep"
) -> Workflow:
    """An edit, put back on its source.

    Args:
        prepare: conditions on the picture that the editor sees.
        sample: ends in `decode`.
        asked: what the user says beside the words.
    """
    asked = asked or {}
    kept = {"source": Link("image"), "edit": Link("decode"), "vae": Link("vae")}
    nodes = {
        **note_node(note),
        **loaders,
        "image": Node("LoadImage", {"image": "example.png"}, title="Your picture"),
        "words": Node("PrimitiveStringMultiline", {"value": INSTRUCTION}, title="What to change", height=140),
        **asked,
        **prepare,
        **sample,
        "keep": Node("ICEditKeepUnedited", kept),
        "save": Node("SaveImage", {"images": Link("keep"), "filename_prefix": prefix}, "Edited", height=360),
    }
    return Workflow(
        nodes,
        (
            models_column(loaders),
            Column(NARROW, (Group("2 Your picture, your words", BLUE, ("image", "words", *asked)),)),
            Column(NARROW, (Group("3 Prepare", AMBER, tuple(prepare)),)),
            Column(NARROW, (Group("4 Sample", PURPLE, tuple(sample)),)),
            Column(WIDE, (Group("5 Keep what was not edited", GREEN, ("keep", "save")),)),
        ),
    )


def sampled(model: Link, steps: Any, cfg: Any, seed: Any = 42, vae: Link = VAE) -> dict[str, Node]:
    """From the model to the decoded edit."""
    settings = {"seed": seed, "steps": steps, "cfg": cfg, "sampler_name": "euler", "scheduler": "simple"}
    links = {"model": model, "positive": Link("positive"), "negative": Link("negative"), "latent_image": Link("encode")}
    return {
        "sample": Node("KSampler", {**links, **settings, "denoise": 1.0}),
        "decode": Node("VAEDecode", {"samples": Link("sample"), "vae": vae}),
    }


def kontext_files() -> dict[str, Node]:
    encoders = {"clip_name1": CLIP_L["name"], "clip_name2": T5["name"], "type": "flux"}
    return {
        "unet": Node("UNETLoader", {"unet_name": KONTEXT["name"]}, models=(KONTEXT,)),
        "clip": Node("DualCLIPLoader", encoders, models=(CLIP_L, T5)),
        "vae": Node("VAELoader", {"vae_name": AE["name"]}, models=(AE,), height=80),
    }


def kontext() -> dict[str, Node]:
    return {
        "seen": Node("FluxKontextImageScale", {"image": Link("image")}),
        "encode": Node("VAEEncode", {"pixels": Link("seen"), "vae": Link("vae")}),
        "text": Node("CLIPTextEncode", {"clip": Link("clip"), "text": Link("words")}),
        "reference": Node("ReferenceLatent", {"conditioning": Link("text"), "latent": Link("encode")}),
        "positive": Node("FluxGuidance", {"conditioning": Link("reference"), "guidance": 2.5}),
        "negative": Node("ConditioningZeroOut", {"conditioning": Link("text")}),
    }


def _kontext_sampling() -> dict[str, Node]:
    return sampled(Link("unet"), 20, 1.0)


def qwen_files() -> dict[str, Node]:
    """Loaders of Qwen-Image-Edit 2511."""
    clip = {"clip_name": QWEN_CLIP["name"], "type": "qwen_image"}
    return {
        "unet": Node("UNETLoader", {"unet_name": QWEN["name"]}, models=(QWEN,)),
        "clip": Node("CLIPLoader", clip, models=(QWEN_CLIP,)),
        "vae": Node("VAELoader", {"vae_name": QWEN_VAE["name"]}, models=(QWEN_VAE,), height=80),
    }


def qwen_prepare() -> dict[str, Node]:
    return qwen(Link("image"), Link("clip"), Link("vae"), Link("words"))


def qwen(image: Link, clip: Link, vae: Link, words: Link) -> dict[str, Node]:
    """What Qwen-Image-Edit is conditioned on."""
    shown = {"clip": clip, "vae": vae, "image1": Link("seen")}
    method = {"reference_latents_method": "index_timestep_zero"}
    return {
        "seen": Node("FluxKontextImageScale", {"image": image}),
        "encode": Node("VAEEncode", {"pixels": Link("seen"), "vae": vae}),
        "text": Node("TextEncodeQwenImageEditPlus", {**shown, "prompt": words}),
        "empty": Node("TextEncodeQwenImageEditPlus", {**shown, "prompt": ""}, title="Negative"),
        "positive": Node("FluxKontextMultiReferenceLatentMethod", {"conditioning": Link("text"), **method}, height=130),
        "negative": Node(
            "FluxKontextMultiReferenceLatentMethod", {"conditioning": Link("empty"), **method}, height=130
        ),
    }


def qwen_model() -> dict[str, Node]:
    """What Qwen-Image-Edit's model is sampled with, `norm` at the end."""
    return {
        "shift": Node("ModelSamplingAuraFlow", {"model": Link("unet"), "shift": 3.1}),
        "norm": Node("CFGNorm", {"model": Link("shift"), "strength": 1.0}, height=130),
    }


def _qwen_sampling() -> dict[str, Node]:
    return {**qwen_model(), **sampled(Link("norm"), 40, 4.0)}


def _flux2_files() -> dict[str, Node]:
    return {
        "unet": Node("UNETLoader", {"unet_name": KLEIN["name"]}, models=(KLEIN,)),
        "clip": Node("CLIPLoader", {"clip_name": KLEIN_CLIP["name"], "type": "flux2"}, models=(KLEIN_CLIP,)),
        "vae": Node("VAELoader", {"vae_name": FLUX2_VAE["name"]}, models=(FLUX2_VAE,), height=80),
    }


def _flux2() -> dict[str, Node]:
    scaled = {"image": Link("image"), "upscale_method": "lanczos", "megapixels": 1.0, "resolution_steps": 16}
    return {
        "seen": Node("ImageScaleToTotalPixels", scaled),
        "size": Node("GetImageSize", {"image": Link("seen")}),
        "encode": Node("VAEEncode", {"pixels": Link("seen"), "vae": Link("vae")}),
        "text": Node("CLIPTextEncode", {"clip": Link("clip"), "text": Link("words")}),
        "zero": Node("ConditioningZeroOut", {"conditioning": Link("text")}),
        "positive": Node("ReferenceLatent", {"conditioning": Link("text"), "latent": Link("encode")}),
        "negative": Node("ReferenceLatent", {"conditioning": Link("zero"), "latent": Link("encode")}),
    }


def _flux2_sampling() -> dict[str, Node]:
    sides = {"width": Link("size", 0), "height": Link("size", 1)}
    guided = {"model": Link("unet"), "positive": Link("positive"), "negative": Link("negative"), "cfg": 1.0}
    custom = {name: Link(name) for name in ("noise", "guider", "sampler", "sigmas")}
    return {
        "noise": Node("RandomNoise", {"noise_seed": 42}),
        "guider": Node("CFGGuider", guided),
        "sampler": Node("KSamplerSelect", {"sampler_name": "euler"}),
        "sigmas": Node("Flux2Scheduler", {"steps": 4, **sides}),
        "empty": Node("EmptyFlux2LatentImage", {**sides, "batch_size": 1}),
        "sample": Node("SamplerCustomAdvanced", {**custom, "latent_image": Link("empty")}),
        "decode": Node("VAEDecode", {"samples": Link("sample", 0), "vae": Link("vae")}),
    }
