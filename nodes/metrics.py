"""ICEditMetrics: how far an edit is from its source or its target, in numbers."""

from comfy_api.latest import io

from ..icedit_core.evaluation import edits
from .host import metric_files as files
from .host.codec import stop_if_interrupted
from .host.report import say


class ICEditMetrics(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditMetrics",
            display_name="ICEdit Metrics",
            category="ICEdit/look",
            description="Measure edits of any editor: L1, L2, PSNR and SSIM on the whole picture and on the part that "
            "was not edited; CLIP, DINO and LPIPS with files of yours. What cannot be measured is named and counted.",
            search_aliases=["psnr", "ssim", "lpips", "clip score", "dino", "mse", "evaluate", "benchmark", "compare"],
            is_output_node=True,
            inputs=[
                io.Image.Input("source", tooltip="The picture before the edit, or a batch of B."),
                io.Image.Input(
                    "edit",
                    tooltip="The edits, of any size: edit i belongs to source i % B. Whole pictures, not diptychs. "
                    "Another size is brought to that of what it is compared with (bicubic).",
                ),
                io.Image.Input(
                    "target",
                    optional=True,
                    tooltip="The edit as it should be, one or one for each source: l1 to lpips, clip_i and dino are "
                    "then measured against it, else against the source.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="What may change, at the source's size: the rest is measured as PIE-Bench does "
                    "(psnr_masked and others). The unedited part as found (psnr_found, ssim_found) needs no mask.",
                ),
                io.Combo.Input(
                    "clip",
                    options=files.folders(files.CLIP),
                    default=files.NONE,
                    optional=True,
                    tooltip="For clip_i, and with captions clip_t and clip_dir: a folder of transformers' CLIPModel "
                    "below models/clip_vision, with config.json and model.safetensors. Runs on the CPU.",
                ),
                io.Combo.Input(
                    "dino",
                    options=files.folders(files.DINO),
                    default=files.NONE,
                    optional=True,
                    tooltip="For dino and structure_distance: a folder of transformers' ViTModel or Dinov2Model below "
                    "models/clip_vision. Runs on the CPU.",
                ),
                io.Combo.Input(
                    "lpips",
                    options=files.lpips_files(),
                    default=files.NONE,
                    optional=True,
                    tooltip="For lpips: torchvision's weights of squeezenet, alexnet or vgg below models/clip_vision; "
                    "the file's name tells which. Needs the package torchmetrics.",
                ),
                io.String.Input(
                    "source_caption",
                    default="",
                    multiline=True,
                    dynamic_prompts=False,
                    optional=True,
                    tooltip="What the source shows, for clip_dir. Both captions or none.",
                ),
                io.String.Input(
                    "target_caption",
                    default="",
                    multiline=True,
                    dynamic_prompts=False,
                    optional=True,
                    tooltip="What the edit should show, for clip_t and clip_dir.",
                ),
                io.Combo.Input(
                    "metric",
                    options=list(edits.VALUES),
                    default="l1",
                    optional=True,
                    tooltip="Which metric comes out as value.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="report", tooltip="A line for each edit, their means, and what was left out and why."
                ),
                io.String.Output(
                    display_name="json", tooltip="The same for a program, with the SHA-256 of the weights."
                ),
                io.Float.Output(
                    display_name="value",
                    is_output_list=True,
                    tooltip="The chosen metric of each edit; NaN where an edit does not have it.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, clip=None, dino=None, lpips=None, **_) -> str:
        """Files changed on disk count as a new input; a linked name arrives as None."""
        return files.stamp(clip, dino, lpips)

    @classmethod
    def execute(
        cls,
        source,
        edit,
        target=None,
        mask=None,
        clip=files.NONE,
        dino=files.NONE,
        lpips=files.NONE,
        source_caption="",
        target_caption="",
        metric="l1",
    ) -> io.NodeOutput:
        models = files.models(clip, dino, lpips)
        given = edits.Given(target, mask, (source_caption, target_caption))
        found = edits.measure(source, edit, given, models, stop_if_interrupted)
        values = edits.chosen(found, metric)
        text = edits.report(found)
        return io.NodeOutput(text, edits.numbers(found, given, models), values, ui=say(cls, text))


NODES = [ICEditMetrics]
