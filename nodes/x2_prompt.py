"""ICEditX2Prompt: an instruction as X2Edit encodes it, by Qwen2.5-VL and AlignNet."""

from comfy_api.latest import io

from ..icedit_core.x2edit import words
from .host import paths, x2_text
from .host.report import say


class ICEditX2Prompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditX2Prompt",
            display_name="ICEdit X2 Prompt",
            category="ICEdit/edit",
            description="Encode an instruction as X2Edit was trained: all hidden states of Qwen2.5-VL, brought to "
            "FLUX.1's text tokens by AlignNet.",
            search_aliases=["x2edit", "alignnet", "qwen2.5-vl"],
            inputs=[
                io.Clip.Input("clip", tooltip="Qwen2.5-VL 7B, from Load CLIP with type qwen_image."),
                io.Combo.Input(
                    "adapter_name",
                    options=paths.lora_names(),
                    tooltip="The same file as in ICEdit X2 Adapter; AlignNet is in it.",
                ),
                io.String.Input(
                    "instruction",
                    multiline=True,
                    dynamic_prompts=False,
                    tooltip="What to change, in English or Chinese, e.g. 'Change the car to red'.",
                ),
                io.Float.Input(
                    "guidance",
                    default=3.5,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="FLUX guidance, an input of the model (not cfg). The published value is 3.5.",
                ),
                io.Combo.Input(
                    "wording",
                    options=list(words.WORDINGS),
                    optional=True,
                    advanced=True,
                    tooltip="published: wrapped as X2Edit's own script does it. bare: the instruction alone, as in its "
                    "training.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(tooltip="Encoded instruction with guidance; connect ReferenceLatent next."),
                io.String.Output(display_name="text", tooltip="The whole text that the language model read."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, adapter_name=None, **_) -> str:
        """A file changed on disk counts as a new input; a linked name arrives as None."""
        return paths.lora_state(adapter_name, x2_text.WHO)

    @classmethod
    def execute(cls, clip, adapter_name, instruction, guidance, wording=words.PUBLISHED) -> io.NodeOutput:
        path = paths.lora_path(adapter_name, x2_text.WHO)
        conditioning, text = x2_text.encode(clip, path, instruction, wording, guidance)
        return io.NodeOutput(conditioning, text, ui=say(cls, text))


NODES = [ICEditX2Prompt]
