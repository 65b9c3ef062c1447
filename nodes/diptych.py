"""ICEditDiptych: the source beside itself, the mask of what to repaint, and the layout that leads back."""

from comfy_api.latest import io

from ..icedit_core import diptych as core
from ..icedit_core import seeing
from ..icedit_core.layout import FITS, GRID, LONGEST, MOST_CONTEXT, WIDEST
from .host import demo, fill
from .host.report import say
from .host.schema import IceditLayout
from .host.show import for_browser


class ICEditDiptych(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditDiptych",
            display_name="ICEdit Diptych",
            category="ICEdit/edit",
            description="Place the image beside itself and mark the right panel for repainting. Connect diptych and "
            "mask to InpaintModelConditioning, and layout to ICEdit Restore.",
            search_aliases=["icedit", "edit image", "side by side", "in-context edit", "inpaint crop"],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The source: any size, one image or a batch, RGB or RGBA, values in [0, 1]. Of RGBA the "
                    "model sees the colours as stored; alpha is kept aside and returned by ICEdit Restore.",
                ),
                io.Int.Input(
                    "width",
                    default=512,
                    min=GRID,
                    max=WIDEST,
                    step=GRID,
                    tooltip="Working width of one panel in px; the diptych is twice as wide. ICEdit is trained at 512, "
                    f"the demo model at 96. The panel's height follows, up to {LONGEST} x width.",
                ),
                io.Combo.Input(
                    "fit",
                    options=list(FITS),
                    default="resize",
                    tooltip="resize: aspect kept, sides to the nearest multiple of 16 px. pad: exact aspect, edges "
                    "repeated up to a multiple of 16 px. crop: centre, cut to multiples of 16 px. around_mask: only a "
                    "box around the mask, so that a small part of a large photo is edited at working size.",
                ),
                io.Float.Input(
                    "context",
                    default=0.5,
                    min=0.0,
                    max=MOST_CONTEXT,
                    step=0.05,
                    advanced=True,
                    tooltip="For around_mask: margin on every side of the mask's bounding box, as a part of its "
                    "longer side. The box is at least 64 px wide and high, where the image is.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where editing is allowed: anything from 1/256 on. Only that part of the right panel is "
                    "repainted, rounded up to cells of 16 panel px. The image's size; one for the batch or one each. "
                    "A wholly empty mask counts as none.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The model that will sample, before any LoRA. It is looked at, not used: one that is not "
                    "FLUX.1 Fill is named here, before anything is sampled.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="diptych", tooltip="Source left and right, at working size."),
                io.Mask.Output(display_name="mask", tooltip="1 = repaint. The left panel is 0."),
                IceditLayout.Output(display_name="layout", tooltip="For ICEdit Restore."),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,  # what it shows comes back after a reload and with a cached run
        )

    @classmethod
    def execute(cls, image, width, fit, context=0.5, mask=None, model=None) -> io.NodeOutput:
        if model is not None:
            fill.require(model, "ICEdit Diptych")
        made = core.compose(image, width, fit, mask, context)
        warning = demo.about_pictures(model, image)
        said = say(cls, "\n".join(filter(None, (warning, *made.notes))), bool(warning)).as_dict()
        shown = for_browser("icedit_pictures", picture=seeing.shaded(made.diptych, made.mask))
        return io.NodeOutput(made.diptych, made.mask, made.layout._replace(warning=warning), ui=said | shown)


NODES = [ICEditDiptych]
