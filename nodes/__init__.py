"""The extension: every node module is listed once, in MODULES."""

import logging
import re
from importlib import import_module
from pathlib import Path

from comfy_api.latest import ComfyExtension

MODULES = (
    "diptych",
    "restore",
    "keep_unedited",
    "metrics",
    "prompt",
    "lora",
    "expert_map",
    "attention_map",
    "only_changes",
    "x2_adapter",
    "x2_prompt",
    "x2_size",
    "directedit",
    "diptych_noise",
    "two_captions",
    "demo_model",
    "demo_scene",
    "candidates",
    "judge_server",
    "judge_host",
    "judge_transformers",
    "rank",
    "viescore",
    "judge_person",
    "best_of",
    "retry",
    "keep_best",
)


log = logging.getLogger(__name__)


def folder_note(folder: str) -> str:
    """What is wrong with the name of the pack's folder, or "": ComfyUI serves templates under plain names alone."""
    if re.fullmatch(r"[\w.+&~-]+", folder, re.ASCII):
        return ""
    return (
        f"ICEdit: its folder is named {folder!r}, and ComfyUI serves no templates from a folder with blanks, brackets "
        "or letters other than A to Z in its name. Rename it to 'icedit' and start ComfyUI again."
    )


class ICEditExtension(ComfyExtension):
    async def on_load(self):
        if note := folder_note(Path(__file__).resolve().parents[1].name):
            log.warning("%s", note)
        await import_module(".host.replacements", __name__).register()

    async def get_node_list(self):
        hold = import_module(".host.limits", __name__).hold
        return [hold(node) for name in MODULES for node in import_module(f".{name}", __name__).NODES]
