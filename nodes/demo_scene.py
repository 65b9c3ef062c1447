"""ICEditDemoScene: a picture that the demo model understands, with an instruction and its exact result."""

from comfy_api.latest import io

from .host.demo import demo_scene, demo_tasks
from .host.report import say
from .host.show import for_browser

ANY = "any"


class ICEditDemoScene(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditDemoScene",
            display_name="ICEdit Demo Scene",
            category="ICEdit/edit",
            description="A picture of coloured shapes for the demo model, an instruction that fits it, and the exact "
            "result to compare with. Every seed is another scene, none of which the demo model was trained on.",
            search_aliases=["icedit example", "test image"],
            inputs=[
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**32 - 1,
                    control_after_generate=True,
                    tooltip="Which scene. The same seed is the same scene at every size.",
                ),
                io.Combo.Input(
                    "task",
                    options=[ANY, *demo_tasks()],
                    default=ANY,
                    tooltip="The kind of edit that the suggested instruction asks for.",
                ),
                io.Int.Input(
                    "size", default=256, min=16, max=2048, step=16, tooltip="Width and height of the picture in px."
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The scene."),
                io.String.Output(display_name="instruction", tooltip="What could be changed in it, in words."),
                io.Image.Output(display_name="target", tooltip="The exact result of that instruction."),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,  # the picture comes back after a reload and with a cached run
        )

    @classmethod
    def execute(cls, seed, task, size) -> io.NodeOutput:
        image, instruction, target = demo_scene(seed, None if task == ANY else task, size)
        shown = for_browser("icedit_pictures", picture=image)
        return io.NodeOutput(image, instruction, target, ui=say(cls, instruction).as_dict() | shown)


NODES = [ICEditDemoScene]
