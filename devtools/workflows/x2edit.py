"""X2Edit on FLUX.1 dev in 28 steps, and with a LoRA that needs 8; the edit goes back on its source."""

from __future__ import annotations

from collections.abc import Callable

from ..graph import Link, Node, Workflow
from .keep_unedited import QWEN_CLIP, kept_edit, sampled
from .models import AE, HUB

DEV = {
    "name": "flux1-dev.safetensors",
    "url": f"{HUB}/Comfy-Org/flux1-dev/resolve/main/flux1-dev.safetensors",
    "directory": "diffusion_models",
}
TURBO = {
    "name": "FLUX.1-Turbo-Alpha.safetensors",
    "url": f"{HUB}/alimama-creative/FLUX.1-Turbo-Alpha/resolve/main/diffusion_pytorch_model.safetensors",
    "directory": "loras",
}
ADAPTER = "x2edit.safetensors"  # what `icedit convert` makes of the three published files
TASK = "color"  # of the words that the workflows come with
STEPS, TURBO_STEPS = 28, 8


def x2edit_workflows(note: Callable[[str], str]) -> dict[str, Workflow]:
    """File name -> workflow; `note` gives the text of a note."""
    return {
        "x2edit": _workflow(_files(), Link("unet"), STEPS, note("x2edit")),
        "x2edit_turbo": _workflow(_turbo_files(), Link("turbo"), TURBO_STEPS, note("x2edit_turbo")),
    }


def _workflow(loaders: dict[str, Node], model: Link, steps: int, note: str) -> Workflow:
    adapter = {"model": model, "adapter_name": ADAPTER, "task": TASK, "instruction": Link("words")}
    asked = {"x2": Node("ICEditX2Adapter", adapter)}
    return kept_edit(loaders, _prepare(), _sampling(steps), note, asked, "ICEdit/x2edit")


def _files() -> dict[str, Node]:
    return {
        "unet": Node("UNETLoader", {"unet_name": DEV["name"]}, models=(DEV,)),
        "clip": Node("CLIPLoader", {"clip_name": QWEN_CLIP["name"], "type": "qwen_image"}, models=(QWEN_CLIP,)),
        "vae": Node("VAELoader", {"vae_name": AE["name"]}, models=(AE,), height=80),
    }


def _turbo_files() -> dict[str, Node]:
    turbo = {"model": Link("unet"), "lora_name": TURBO["name"]}
    return {**_files(), "turbo": Node("LoraLoaderModelOnly", turbo, models=(TURBO,))}


def _prepare() -> dict[str, Node]:
    words = {"clip": Link("clip"), "adapter_name": ADAPTER, "instruction": Link("words"), "guidance": 3.5}
    return {
        "seen": Node("ICEditX2Size", {"image": Link("image")}, height=180),
        "encode": Node("VAEEncode", {"pixels": Link("seen"), "vae": Link("vae")}),
        "text": Node("ICEditX2Prompt", words),
        "positive": Node("ReferenceLatent", {"conditioning": Link("text"), "latent": Link("encode")}),
        "negative": Node("ConditioningZeroOut", {"conditioning": Link("positive")}),
    }


def _sampling(steps: int) -> dict[str, Node]:
    """The sigmas are the published pipeline's: ModelSamplingFlux shifts by the edit's own size."""
    sides = {"width": Link("size", 0), "height": Link("size", 1)}
    return {
        "size": Node("GetImageSize", {"image": Link("seen")}),
        "shift": Node("ModelSamplingFlux", {"model": Link("x2"), **sides}),
        **sampled(Link("shift"), steps, 1.0),
    }
