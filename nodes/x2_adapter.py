"""ICEditX2Adapter: X2Edit's experts, router and source tokens onto FLUX.1 dev."""

from comfy_api.latest import io

from ..icedit_core.x2edit import tasks
from .host import paths, x2edit
from .host.report import say
from .host.schema import IceditJudge

AUTO = "auto"


class ICEditX2Adapter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditX2Adapter",
            display_name="ICEdit X2 Adapter",
            category="ICEdit/edit",
            description="Load X2Edit's adapter onto FLUX.1 dev: experts that a router picks for each token and task. "
            "The source comes from ReferenceLatent, at X2Edit's own positions.",
            search_aliases=["x2edit", "moe lora", "task aware"],
            inputs=[
                io.Model.Input("model", tooltip="FLUX.1 dev or a fine-tune of it, with or without LoRAs."),
                io.Combo.Input(
                    "adapter_name",
                    options=paths.lora_names(),
                    tooltip="The one .safetensors file in models/loras that 'icedit convert' made of X2Edit's three.",
                ),
                io.Combo.Input(
                    "task",
                    options=[*tasks.NAMES, AUTO],
                    tooltip="What kind of edit the instruction asks for; the router reads it. other: none of them. "
                    "auto: the judge says.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.01,
                    tooltip="Multiplies every update of the file; 1 is as trained, 0 leaves the experts out.",
                ),
                io.Int.Input(
                    "top_k",
                    default=0,
                    min=0,
                    max=64,
                    optional=True,
                    advanced=True,
                    tooltip="Experts per token. 0: what the file says, otherwise 2 as published.",
                ),
                IceditJudge.Input(
                    "judge",
                    optional=True,
                    tooltip="For task auto: it is asked about the instruction, without pictures.",
                ),
                io.String.Input(
                    "instruction",
                    default="",
                    multiline=True,
                    dynamic_prompts=False,
                    optional=True,
                    tooltip="For task auto: the same words as in ICEdit X2 Prompt.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="A copy of the model with the adapter; the input is not changed.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, adapter_name=None, **_) -> str:
        """A file changed on disk counts as a new input; a linked name arrives as None."""
        return paths.lora_state(adapter_name, x2edit.WHO)

    @classmethod
    async def execute(cls, model, adapter_name, task, strength, top_k=0, judge=None, instruction="") -> io.NodeOutput:
        note = ""
        if task == AUTO:
            task, note = await x2edit.task_by(judge, instruction)
        made, own_top_k = x2edit.load(paths.lora_path(adapter_name, x2edit.WHO), model)
        top_k = top_k or own_top_k
        patched = x2edit.attach(model, made, tasks.number(task), strength, top_k, adapter_name)
        text = f"{adapter_name}: {made.summary()}, top {top_k} per token, task {task}, strength {strength:g}"
        return io.NodeOutput(patched, ui=say(cls, f"{text}; {note}" if note else text, warning=bool(note)))


NODES = [ICEditX2Adapter]
