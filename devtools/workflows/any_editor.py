"""Best of several seeds of an editor that is not ours: FLUX.1 Kontext with the host's own nodes, then a judge."""

from __future__ import annotations

from ..graph import Column, Group, Link, Node, Workflow
from .edit import AMBER, BLUE, GREEN, NARROW, PURPLE, models_column, note_node
from .judges import Judge
from .models import AE, CLIP_L, HUB, T5

KONTEXT = {
    "name": "flux1-dev-kontext_fp8_scaled.safetensors",
    "url": f"{HUB}/Comfy-Org/flux1-kontext-dev_ComfyUI/resolve/main/split_files/diffusion_models/"
    "flux1-dev-kontext_fp8_scaled.safetensors",
    "directory": "diffusion_models",
}
COUNT = 4
INSTRUCTION = "Change her hair to dark green, keep everything else unchanged"


def any_editor_workflow(judge: Judge, note: str) -> Workflow:
    """Several seeds at once as one batch, finished; the judge sees whole edits."""
    loaders, judges = _loaders(), judge()
    nodes = {**note_node(note), **loaders, **_edit(), **_sample(), **judges, **_choose()}
    return Workflow(
        nodes,
        (
            models_column(loaders),
            Column(NARROW, (Group("2 Your picture, your words", BLUE, ("image", "words")),)),
            Column(NARROW, (Group("3 Prepare", AMBER, tuple(_edit())[2:]),)),
            Column(NARROW, (Group("4 Sample: any editor", PURPLE, tuple(_sample())),)),
            Column(NARROW, (Group("5 Judge", GREEN, (*judges, "rank")),)),
            Column(NARROW, (Group("6 Result", BLUE, ("save", "sheet")),)),
        ),
    )


def _loaders() -> dict[str, Node]:
    encoders = {"clip_name1": CLIP_L["name"], "clip_name2": T5["name"], "type": "flux"}
    return {
        "unet": Node("UNETLoader", {"unet_name": KONTEXT["name"]}, models=(KONTEXT,)),
        "clip": Node("DualCLIPLoader", encoders, models=(CLIP_L, T5)),
        "vae": Node("VAELoader", {"vae_name": AE["name"]}, models=(AE,), height=80),
    }


def _edit() -> dict[str, Node]:
    return {
        "image": Node("LoadImage", {"image": "example.png"}, title="Your picture"),
        "words": Node("PrimitiveStringMultiline", {"value": INSTRUCTION}, title="What to change", height=140),
        "source": Node("FluxKontextImageScale", {"image": Link("image")}),
        "encode": Node("VAEEncode", {"pixels": Link("source"), "vae": Link("vae")}),
        "text": Node("CLIPTextEncode", {"clip": Link("clip"), "text": Link("words")}),
        "reference": Node("ReferenceLatent", {"conditioning": Link("text"), "latent": Link("encode")}),
        "positive": Node("FluxGuidance", {"conditioning": Link("reference"), "guidance": 2.5}),
        "negative": Node("ConditioningZeroOut", {"conditioning": Link("text")}),
    }


def _sample() -> dict[str, Node]:
    settings = {"seed": 42, "steps": 20, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    links = {"model": Link("unet"), "positive": Link("positive"), "negative": Link("negative")}
    many = {"samples": Link("encode"), "amount": COUNT}
    return {
        "seeds": Node("RepeatLatentBatch", many, title="How many candidates"),
        "sample": Node("KSampler", {**links, "latent_image": Link("seeds"), **settings}),
        "decode": Node("VAEDecode", {"samples": Link("sample"), "vae": Link("vae")}),
    }


def _choose() -> dict[str, Node]:
    ranked = {
        "source": Link("source"),
        "candidates": Link("decode"),
        "instruction": Link("words"),
        "judge": Link("judge"),
        "method": "knockout",
        "both_orders": True,
    }
    best = {"images": Link("rank", 0), "filename_prefix": "ICEdit/best_of"}
    return {
        "rank": Node("ICEditRank", ranked),
        "save": Node("SaveImage", best, title="The best", height=360),
        "sheet": Node("PreviewImage", {"images": Link("rank", 4)}, title="In order", height=360),
    }
