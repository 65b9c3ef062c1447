"""The extension: every node module is listed once, in MODULES."""

from importlib import import_module

from comfy_api.latest import ComfyExtension

MODULES = (
    "diptych",
    "restore",
    "prompt",
    "lora",
    "expert_map",
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
    "keep_best",
)


class ICEditExtension(ComfyExtension):
    async def on_load(self):
        await import_module(".host.replacements", __name__).register()

    async def get_node_list(self):
        hold = import_module(".host.limits", __name__).hold
        return [hold(node) for name in MODULES for node in import_module(f".{name}", __name__).NODES]
