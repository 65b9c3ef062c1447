"""ICEditLoadLoRA: the MoE-LoRA with its router, and plain LoRAs, onto a FLUX model."""

from comfy_api.latest import io

from ..icedit_core.adapters import files, widen
from .host import adapters, fill, paths, previews
from .host.report import say


class ICEditLoadLoRA(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditLoadLoRA",
            display_name="ICEdit Load LoRA",
            category="ICEdit/edit",
            description="Load ICEdit's MoE-LoRA, router and experts included, or a plain LoRA. Every tensor of the "
            "file is used, or the load fails and says which were not.",
            search_aliases=["moe lora", "icedit lora", "mixture of experts"],
            inputs=[
                io.Model.Input("model", tooltip="The model the adapter was trained for: FLUX.1 Fill for ICEdit's."),
                io.Combo.Input(
                    "lora_name",
                    options=paths.lora_names(),
                    tooltip="A .safetensors file in models/loras, or the demo model's (icedit_demo/...).",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.01,
                    tooltip="Multiplies every update of the file; 1 is as trained, 0 leaves the model untouched.",
                ),
                io.Int.Input(
                    "top_k",
                    default=0,
                    min=0,
                    max=64,
                    optional=True,
                    advanced=True,
                    tooltip="Experts per token. 0: what the file says, otherwise 1 as published.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="A copy of the model with the adapter; the input is not changed.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, lora_name=None, **_) -> str:
        """A file changed on disk counts as a new input; a linked name arrives as None."""
        return paths.lora_state(lora_name)

    @classmethod
    def execute(cls, model, lora_name, strength, top_k=0) -> io.NodeOutput:
        adapter, own_top_k = files.load(
            paths.lora_path(lora_name), lambda outline: adapters.check(model, widen.for_fill(outline)[0])
        )
        adapter, padded = widen.for_fill(adapter)
        top_k = top_k or own_top_k
        patched = adapters.attach(model, adapter, strength, top_k, lora_name)
        routing = f", top {top_k} per token" if adapter.routed else ""
        text = f"{lora_name}: {adapter.summary()}{routing}, strength {strength:g}"
        if padded:
            text += (
                f"; made for FLUX.1 dev: {', '.join(padded)} padded with zeros from {widen.DEV_INPUTS} to "
                f"{widen.FILL_INPUTS} inputs"
            )
        return io.NodeOutput(previews.show_right_panel(fill.watched(patched, adapters.WHO)), ui=say(cls, text))


NODES = [ICEditLoadLoRA]
