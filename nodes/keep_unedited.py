"""ICEditKeepUnedited: the source's own pixels wherever an edit, of any editor, changed nothing."""

from comfy_api.latest import io

from ..icedit_core import keep as core
from ..icedit_core import seeing
from .host.codec import codec, stop_if_interrupted
from .host.report import say
from .host.show import for_browser


class ICEditKeepUnedited(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditKeepUnedited",
            display_name="ICEdit Keep Unedited",
            category="ICEdit/edit",
            description="Bring an edit of any editor back onto its source: shift, zoom, size and colours are undone, "
            "and what was not edited is the source's own pixels, bit for bit.",
            search_aliases=[
                *("edit image", "compare", "before after", "pixel shift", "align", "color match", "composite"),
                *("change mask", "kontext", "qwen"),
            ],
            inputs=[
                io.Image.Input("source", tooltip="The picture before the edit, at the size that you want back."),
                io.Image.Input(
                    "edit",
                    tooltip="What the editor made of it, of any size: one edit for each source, or k for each, where "
                    "edit i belongs to source i % B. Connect the decoded picture as it is, without resizing.",
                ),
                io.Float.Input(
                    "threshold",
                    default=1.0,
                    min=0.05,
                    max=20.0,
                    step=0.05,
                    advanced=True,
                    tooltip="How strong a change must be to count, relative to the measured noise of decoding; 1 is "
                    "tuned. Raise it when untouched parts come from the edit, lower it when faint edits are lost.",
                ),
                io.Int.Input(
                    "grow",
                    default=0,
                    min=-64,
                    max=256,
                    advanced=True,
                    tooltip="Widen the detected change by this many px of the source; negative shrinks it. A mask is "
                    "never widened.",
                ),
                io.Int.Input(
                    "feather",
                    default=0,
                    min=0,
                    max=256,
                    tooltip="Fade from the edit to the source over this many px of the source, outside the change or "
                    "the mask. Beyond it every pixel is the source's.",
                ),
                io.Float.Input(
                    "colour",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How far the edited pixels get the source's colours back where the editor shifted them "
                    "all, as fitted on what it did not edit. 0 leaves the edit's colours.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="What may change, at the source's size. Outside it every pixel is the source's, inside it "
                    "the edit's; no change is looked for.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="The editor's VAE. It shows what decoding alone does to the source, so that finer changes "
                    "are told from it. Without it this is estimated from the edit.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The edited picture at the source's size."),
                io.Mask.Output(
                    display_name="change",
                    tooltip="What was changed, at the source's size: 0 = the source bit for bit, 1 = the edit.",
                ),
                io.String.Output(
                    display_name="report", tooltip="Zoom, shift, colours, and how much changed: one line an edit."
                ),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,  # what it shows comes back after a reload and with a cached run
        )

    @classmethod
    def execute(cls, source, edit, threshold, grow, feather, colour, mask=None, vae=None) -> io.NodeOutput:
        cut = core.Cut(threshold, grow, feather)
        through = None if vae is None else codec(vae)
        done = core.keep(source, edit, mask, through, cut, colour, stop_if_interrupted)
        report = "\n".join(done.report)
        shown = for_browser(
            "icedit_compare",
            before=seeing.shown(source),
            after=seeing.shown(done.image),
            change=seeing.outline(done.mask),
        )
        return io.NodeOutput(done.image, done.mask, report, ui=say(cls, report).as_dict() | shown)


NODES = [ICEditKeepUnedited]
