"""ICEditPrompt: the user's instruction as the in-context prompt, encoded."""

from comfy_api.latest import io

from ..icedit_core import prompt
from .host.demo import about_words
from .host.report import say
from .host.text import encode

CUSTOM = "custom"


class ICEditPrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditPrompt",
            display_name="ICEdit Prompt",
            category="ICEdit/edit",
            description="Wrap the instruction in the in-context prompt and encode it.",
            search_aliases=["icedit instruction", "in-context prompt", "edit image", "instruction edit"],
            inputs=[
                io.Clip.Input("clip", tooltip="FLUX text encoders (CLIP-L and T5-XXL)."),
                io.String.Input(
                    "instruction",
                    multiline=True,
                    dynamic_prompts=False,
                    tooltip="What to change, in English, e.g. 'make her hair dark green'.",
                ),
                io.Float.Input(
                    "guidance",
                    default=50.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="FLUX guidance, an input of the model (not cfg). The published value is 50.",
                ),
                io.Combo.Input(
                    "template",
                    options=[*prompt.TEMPLATES, CUSTOM],
                    default="in-context",
                    tooltip="in-context: the published prompt. subject: names the subject and describes the source. "
                    "direct: the instruction alone. custom: your own text with {instruction}.",
                ),
                io.String.Input(
                    "subject",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="For the subject template: what both panels show, e.g. 'man'.",
                ),
                io.String.Input(
                    "description",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="For the subject template: the source in words, e.g. 'a man in a grey coat'.",
                ),
                io.String.Input(
                    "custom_template",
                    default=prompt.IC_TEMPLATE,
                    multiline=True,
                    dynamic_prompts=False,
                    optional=True,
                    advanced=True,
                    tooltip="For the custom template: any text with {instruction}, and {subject}, {description}.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(tooltip="Encoded prompt with guidance; also serves as the negative at cfg 1."),
                io.String.Output(display_name="ic_prompt", tooltip="The whole prompt as it was encoded."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        clip,
        instruction,
        guidance,
        template,
        subject="",
        description="",
        custom_template=prompt.IC_TEMPLATE,
    ) -> io.NodeOutput:
        text = custom_template if template == CUSTOM else prompt.TEMPLATES[template]
        ic_prompt = prompt.wrap(instruction, text, subject, description)
        script = prompt.foreign_script(ic_prompt)
        note = ic_prompt
        if script:
            note = (  # first, since a node shows no more than the beginning of a long text
                f"Note: there are {script} letters in the prompt, but FLUX's text encoders know English. "
                f"Write the instruction in English.\n\n{ic_prompt}"
            )
        if template == "in-context" and prompt.bare(instruction) != instruction:
            note = f"Note: the instruction already held the in-context prompt; it stands there once.\n\n{note}"
        conditioning = encode(clip, ic_prompt, guidance)
        if unknown := about_words(clip, prompt.bare(instruction)):
            note = f"{unknown}\n\n{note}"
        return io.NodeOutput(conditioning, ic_prompt, ui=say(cls, note, warning=bool(script or unknown)))


NODES = [ICEditPrompt]
