"""ICEditRestore: the right panel back at the source's size, with the source's own pixels where nothing changed."""

from comfy_api.latest import io

from ..icedit_core import restore as core
from ..icedit_core import seeing
from .host.report import say
from .host.schema import IceditLayout
from .host.show import for_browser


class ICEditRestore(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditRestore",
            display_name="ICEdit Restore",
            category="ICEdit/edit",
            description="Take the right panel of decoded diptychs back to the source's exact size and alpha. Pixels "
            "that were not edited are the original's, bit for bit.",
            search_aliases=["icedit", "uncrop", "paste back", "compare", "before after", "stitch", "change mask"],
            inputs=[
                io.Image.Input(
                    "images",
                    tooltip="Decoded diptychs: one for each source, or k for each, where diptych i belongs to source "
                    "i % B (the order of RepeatImageBatch and RepeatLatentBatch). For k candidates of several "
                    "sources repeat the images before ICEdit Diptych: FLUX Fill's conditioning does not follow a "
                    "repeated latent batch.",
                ),
                IceditLayout.Input("layout", tooltip="From the ICEdit Diptych that made these diptychs."),
                io.Combo.Input(
                    "keep_unedited",
                    options=list(core.KEEP),
                    default="auto",
                    tooltip="auto: keep the original outside the mask given to ICEdit Diptych; without a mask, keep it "
                    "where the decoded panels show no change. change: keep it in both places. off: the plain right "
                    "panel, resized back.",
                ),
                io.Float.Input(
                    "threshold",
                    default=1.0,
                    min=0.05,
                    max=20.0,
                    step=0.05,
                    advanced=True,
                    tooltip="How strong a change must be to count, relative to the measured noise of decoding; 1 is "
                    "tuned. Raise it when untouched parts come from the right panel (e.g. a slight colour drift of "
                    "the whole picture), lower it when faint edits are lost.",
                ),
                io.Int.Input(
                    "grow",
                    default=0,
                    min=-64,
                    max=256,
                    advanced=True,
                    tooltip="Widen the detected change by this many px of the source; negative shrinks it. A mask "
                    "given to ICEdit Diptych is never widened.",
                ),
                io.Int.Input(
                    "feather",
                    default=0,
                    min=0,
                    max=256,
                    tooltip="Fade from the edit to the original over this many px of the source, outside the change "
                    "or the mask. Beyond it every pixel is the original's.",
                ),
                io.Image.Input(
                    "original",
                    optional=True,
                    tooltip="Paste into this instead of the source; same size and number of images. Its alpha, if it "
                    "has one, is used.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The edited image at the source's size, with its alpha."),
                io.Mask.Output(
                    display_name="change",
                    tooltip="What was changed, at the source's size: 0 = the original bit for bit, 1 = right panel.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,  # what it shows comes back after a reload and with a cached run
        )

    @classmethod
    def execute(cls, images, layout, keep_unedited, threshold, grow, feather, original=None) -> io.NodeOutput:
        edge = core.Edge(keep_unedited, threshold, grow, feather)
        done = core.restore(images, layout, original, edge)
        said = say(cls, "\n".join(done.notes)).as_dict()
        before = seeing.shown(layout.image if original is None else original)
        shown = for_browser(
            "icedit_compare", before=before, after=seeing.shown(done.image), change=seeing.outline(done.mask)
        )
        return io.NodeOutput(done.image, done.mask, ui=said | shown)


NODES = [ICEditRestore]
