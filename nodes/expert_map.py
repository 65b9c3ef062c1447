"""ICEditExpertMap: which expert of a MoE-LoRA takes which part of the picture."""

import torch
from comfy_api.latest import io, ui

from ..icedit_core import expert_map as core
from .host import expert_map
from .host.report import say
from .host.schema import seed_input


class ICEditExpertMap(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditExpertMap",
            display_name="ICEdit Expert Map",
            category="ICEdit/look",
            description="Paint which expert of a MoE-LoRA took which part of the diptych, for each layer with a "
            "router, in one model call of its own. The model is left as it is.",
            search_aliases=["moe", "router", "mixture of experts", "attention map"],
            inputs=[
                io.Model.Input("model", tooltip="With a MoE-LoRA from ICEdit Load LoRA; several are shown in turn."),
                io.Conditioning.Input("positive", tooltip="As for a KSampler: from InpaintModelConditioning."),
                io.Latent.Input(
                    "latent",
                    tooltip="What is noised: the latent of InpaintModelConditioning for the start of a sampling, a "
                    "KSampler's result for its later steps.",
                ),
                io.Float.Input(
                    "sigma",
                    default=0.7,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="Noise level at which the model is asked: 1 is the first step of a sampling, towards 0 "
                    "its last.",
                ),
                seed_input("Of the noise; a KSampler with this seed begins with the same."),
                io.Combo.Input(
                    "blocks",
                    options=list(core.BLOCKS),
                    default="all",
                    tooltip="all: every layer with experts. double, single: FLUX's blocks of that kind. one: a large "
                    "map of one of them.",
                ),
                io.Int.Input(
                    "number", default=0, min=0, max=999, tooltip="For one: which of the layers, counted from 0."
                ),
                io.Vae.Input(
                    "vae", optional=True, tooltip="Decodes the latent, which then shines through the maps in grey."
                ),
            ],
            outputs=[
                io.Image.Output(display_name="map", tooltip="One sheet for each image of the latent."),
                io.String.Output(display_name="report", tooltip="How much each expert took, layer by layer."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, model, positive, latent, sigma, seed, blocks, number, vae=None) -> io.NodeOutput:
        seen = expert_map.look(model, positive, latent, sigma, seed)
        pictures = None if vae is None else vae.decode(latent["samples"])
        title = f"sigma {sigma:g}, seed {seed}"
        sheets, reports = [], []
        for index, adapters in enumerate(seen.adapters):
            chosen = core.choose(adapters, blocks, number)
            repainted = None if seen.repainted is None else seen.repainted[index % len(seen.repainted)]
            picture = None if pictures is None else pictures[index, ..., :3].float().cpu()
            sheets.append(core.sheet(chosen, title, picture, repainted))
            reports.append(f"{title}\n{core.report(chosen, repainted)}")
        sheet = torch.cat(sheets)
        said = say(cls, "\n".join(core.summary(adapters) for adapters in seen.adapters)).as_dict()
        return io.NodeOutput(sheet, "\n\n".join(reports), ui=said | ui.PreviewImage(sheet).as_dict())


NODES = [ICEditExpertMap]
