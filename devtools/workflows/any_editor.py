"""Best of several seeds of an editor that is not ours: FLUX.1 Kontext with the host's own nodes, then a judge."""

from __future__ import annotations

from ..canvas import Group, Link, Node, Workflow
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
    return Workflow({**_loaders(note), **_edit(), **_sample(), **_choose(judge)}, GROUPS)


def _loaders(note: str) -> dict[str, Node]:
    encoders = {"clip_name1": CLIP_L["name"], "clip_name2": T5["name"], "type": "flux"}
    return {
        "note": Node("MarkdownNote", pos=(-460, 0), size=(420, 700), title="Read me", text=note),
        "unet": Node("UNETLoader", {"unet_name": KONTEXT["name"]}, (0, 40), (320, 90), models=(KONTEXT,)),
        "clip": Node("DualCLIPLoader", encoders, (0, 190), (320, 140), models=(CLIP_L, T5)),
        "vae": Node("VAELoader", {"vae_name": AE["name"]}, (0, 390), (320, 70), models=(AE,)),
    }


def _edit() -> dict[str, Node]:
    return {
        "image": Node("LoadImage", {"image": "example.png"}, (380, 40), (320, 330), title="Your picture"),
        "source": Node("FluxKontextImageScale", {"image": Link("image")}, (380, 430), (320, 40)),
        "encode": Node("VAEEncode", {"pixels": Link("source"), "vae": Link("vae")}, (380, 530), (320, 50)),
        "words": Node(
            "PrimitiveStringMultiline", {"value": INSTRUCTION}, (760, 40), (380, 120), title="What to change"
        ),
        "text": Node("CLIPTextEncode", {"clip": Link("clip"), "text": Link("words")}, (760, 220), (380, 100)),
        "reference": Node(
            "ReferenceLatent", {"conditioning": Link("text"), "latent": Link("encode")}, (760, 380), (380, 50)
        ),
        "positive": Node("FluxGuidance", {"conditioning": Link("reference"), "guidance": 2.5}, (760, 490), (380, 60)),
        "negative": Node("ConditioningZeroOut", {"conditioning": Link("text")}, (760, 610), (380, 40)),
    }


def _sample() -> dict[str, Node]:
    return {
        "seeds": Node(
            "RepeatLatentBatch",
            {"samples": Link("encode"), "amount": COUNT},
            (1200, 40),
            (300, 60),
            title="How many candidates",
        ),
        "sample": Node(
            "KSampler",
            {
                "model": Link("unet"),
                "positive": Link("positive"),
                "negative": Link("negative"),
                "latent_image": Link("seeds"),
                "seed": 42,
                "steps": 20,
                "cfg": 1.0,
                "sampler_name": "euler",
                "scheduler": "simple",
                "denoise": 1.0,
            },
            (1200, 160),
            (300, 270),
        ),
        "decode": Node("VAEDecode", {"samples": Link("sample"), "vae": Link("vae")}, (1200, 490), (300, 50)),
    }


def _choose(judge: Judge) -> dict[str, Node]:
    ranked = {
        "source": Link("source"),
        "candidates": Link("decode"),
        "instruction": Link("words"),
        "judge": Link("judge"),
        "method": "knockout",
        "both_orders": True,
    }
    return {
        **judge(1560, 40),
        "rank": Node("ICEditRank", ranked, (1560, 340), (380, 280)),
        "save": Node(
            "SaveImage",
            {"images": Link("rank", 0), "filename_prefix": "ICEdit/best_of"},
            (2000, 40),
            (420, 330),
            title="The best",
        ),
        "sheet": Node("PreviewImage", {"images": Link("rank", 4)}, (2000, 430), (420, 330), title="In order"),
    }


GROUPS = (
    Group("1 Models", (-20, -40, 360, 840), "#8A8A8A"),
    Group("2 Picture", (360, -40, 360, 840), "#3f789e"),
    Group("3 Instruction", (740, -40, 420, 840), "#b58b2a"),
    Group("4 Sample: any editor", (1180, -40, 340, 840), "#a1309b"),
    Group("5 Judge", (1540, -40, 420, 840), "#3f9152"),
    Group("6 Result", (1980, -40, 460, 840), "#88A"),
)
