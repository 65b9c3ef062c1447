"""ICEditTwoCaptions: an instruction alone as the two captions and the mask that ICEdit DirectEdit takes."""

from comfy_api.latest import io

from ..icedit_core import two_captions as core
from .host.report import say
from .host.schema import IceditJudge
from .host.waiting import cancellable


class ICEditTwoCaptions(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditTwoCaptions",
            display_name="ICEdit Two Captions",
            category="ICEdit/invert",
            description="For an instruction without captions at hand: a judge looks at the picture and writes a "
            "caption of it, the same caption with the edit in it, and where the edit is.",
            search_aliases=["caption", "directedit", "vlm", "instruction to captions", "box from words"],
            inputs=[
                io.Image.Input("image", tooltip="One picture, as large as the one that goes into VAE Encode."),
                io.String.Input("instruction", multiline=True, dynamic_prompts=False, tooltip="What to change."),
                IceditJudge.Input("judge", tooltip="A model that sees pictures and writes text."),
            ],
            outputs=[
                io.String.Output(display_name="source", tooltip="The picture as it is, for a text encoder."),
                io.String.Output(display_name="target", tooltip="The picture after the edit, for a text encoder."),
                io.Mask.Output(
                    display_name="mask",
                    tooltip="Where it may change: the box, all but the box for a new background, or the whole picture.",
                ),
                io.BoundingBox.Output(display_name="box", tooltip="The box in pixels, for a segmenter such as SAM3."),
                io.String.Output(display_name="type", tooltip="local, background, global or other."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    async def execute(cls, image, instruction, judge) -> io.NodeOutput:
        if len(image) != 1:
            raise ValueError(
                f"{core.WHO}: {len(image)} pictures, but captions are written for one picture at a time. Pick one."
            )
        found = await cancellable(core.ask(judge, image[0], instruction))
        mask, box = core.mask(image[0], found)[None], core.pixels(image[0], found)
        return io.NodeOutput(found.source, found.target, mask, box, found.kind, ui=say(cls, core.report(found)))


NODES = [ICEditTwoCaptions]
