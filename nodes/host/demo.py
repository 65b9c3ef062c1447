"""The shipped small model through the host's own loaders, and the scenes it knows."""

import hashlib
import json

import comfy.sd
import comfy.utils
import torch

from ...demo import scenes, world
from ...demo.model_files import WEIGHTS
from .previews import show_right_panel

MARK = "icedit_demo"
"""Attachment of the demo's MODEL and CLIP, which their clones keep, with any LoRA."""
PARTS = {
    "model": "icedit_demo_fill.safetensors",
    "clip_l": "icedit_demo_clip_l.safetensors",
    "t5": "icedit_demo_t5.safetensors",
    "vae": "icedit_demo_vae.safetensors",
}


def load_demo_model():
    """MODEL, CLIP and VAE of the small FLUX Fill in `demo/weights`.

    Raises:
        ValueError: a file is missing or damaged.
    """
    config = json.loads((WEIGHTS / "config.json").read_text(encoding="utf-8"))
    paths = {part: str(_checked(name, config["sha256"][name])) for part, name in PARTS.items()}
    model = comfy.sd.load_diffusion_model(paths["model"])
    clip = comfy.sd.load_clip(
        [paths["clip_l"], paths["t5"]],
        clip_type=comfy.sd.CLIPType.FLUX,
        model_options=config["model_options"],
    )
    # The small model was trained on short prompts: pad T5 to its own length, not to the full model's 256 tokens.
    clip.set_tokenizer_option("t5xxl_min_length", config["t5_min_length"])
    vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(paths["vae"], safe_load=True))
    for patcher in (model, clip.patcher):
        patcher.set_attachments(MARK, True)
    return show_right_panel(model), clip, vae


def about_pictures(model, images: torch.Tensor) -> str:
    """A warning if `model` is the demo's and one of (B, H, W, 3 or 4) is unlike the scenes it knows, else ""."""
    if model is None or not model.get_attachment(MARK):
        return ""
    return next(filter(None, (world.of_picture(image[..., :3].float().cpu().numpy()) for image in images)), "")


def about_words(clip, instruction: str) -> str:
    """A warning if `clip` is the demo's and the words are outside of what it knows, else ""."""
    return world.of_words(instruction) if clip is not None and clip.patcher.get_attachment(MARK) else ""


def _checked(name: str, digest: str):
    path = WEIGHTS / name
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise ValueError(
            f"ICEdit Demo Model: demo/weights/{name} is missing or damaged, but the shipped file is needed. "
            "Install the pack again."
        )
    return path


def demo_tasks() -> tuple[str, ...]:
    """The families of edits that scenes are made for."""
    return scenes.TASKS


def demo_scene(seed: int, task: str | None, size: int):
    """Image (1, size, size, 3) in [0, 1], instruction, and the exact result like the image; never seen in training."""
    made = scenes.make(scenes.UNSEEN + seed, size, task)
    return torch.from_numpy(made.source)[None], made.instruction, torch.from_numpy(made.target)[None]
