"""ICEditDemoModel: the small shipped FLUX Fill, for trying the pack without a download."""

from comfy_api.latest import io

from .host.demo import load_demo_model


class ICEditDemoModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditDemoModel",
            display_name="ICEdit Demo Model",
            category="ICEdit/edit",
            description="A small FLUX Fill that comes with the pack: no download, runs on a CPU. It knows coloured "
            "shapes on plain backgrounds, 96 px a panel, not photographs. For photographs load FLUX.1 Fill.",
            search_aliases=["icedit tiny", "icedit example"],
            inputs=[],
            outputs=[
                io.Model.Output(tooltip="A small FLUX Fill that knows captions. Its LoRA teaches it instructions."),
                io.Clip.Output(tooltip="Small CLIP-L and T5 text encoders in FLUX's layout."),
                io.Vae.Output(tooltip="A small 16-channel autoencoder (TAESD)."),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(*load_demo_model())


NODES = [ICEditDemoModel]
