"""ICEditDiptychFromNoise: ICEdit on a text-to-image model, through inversion of the left panel."""

from comfy_api.latest import io

from ..icedit_core.inversion.values import RULES
from .host import diptych_noise
from .host.report import say
from .host.run import schedulers
from .host.schema import seed_input

FLUX_RULES = [choice for choice in RULES if choice != "joint"]


class ICEditDiptychFromNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditDiptychFromNoise",
            display_name="ICEdit Diptych From Noise",
            category="ICEdit/invert",
            description="ICEdit on a text-to-image model such as FLUX.1 dev: the source is followed to noise, laid "
            "beside fresh noise, and the diptych is painted from both while its left panel stays the source. Takes "
            "the KSampler's place.",
            search_aliases=["inversion", "in-context", "text to image", "training-free", "rf solver", "ksampler"],
            inputs=[*_sockets(), *_settings()],
            outputs=[io.Latent.Output(tooltip="The diptych, for VAEDecode and then ICEdit Restore.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model,
        source,
        positive,
        latent,
        seed,
        steps,
        guidance,
        injected,
        blocks,
        left_panel,
        source_guidance,
        schedule,
        values,
    ) -> io.NodeOutput:
        asked = diptych_noise.Asked(
            steps, (source_guidance, guidance), injected, blocks, left_panel == "locked", schedule, values, seed
        )
        made, report = diptych_noise.edit(model, source, positive, latent, asked)
        return io.NodeOutput(made, ui=say(cls, report))


def _sockets() -> list:
    return [
        io.Model.Input("model", tooltip="FLUX.1 dev; other FLUX models are experimental."),
        io.Conditioning.Input("source", tooltip="A caption of the picture as it is; an empty one does too."),
        io.Conditioning.Input("positive", tooltip="The in-context prompt, from ICEdit Prompt."),
        io.Latent.Input("latent", tooltip="The diptych of ICEdit Diptych, from VAE Encode."),
    ]


def _settings() -> list:
    return [
        seed_input("Of the right panel's noise.", drawn=True),
        io.Int.Input("steps", default=28, min=2, max=1000, tooltip="Steps each way."),
        io.Float.Input(
            "guidance",
            default=3.5,
            min=0.0,
            max=100.0,
            step=0.1,
            tooltip="Guidance of the diptych, FLUX.1 dev's usual one; what ICEdit Prompt set is not used. 50 belongs "
            "to FLUX.1 Fill.",
        ),
        io.Float.Input(
            "injected",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip="Share of the steps, from the noisiest on, in which the left panel reads the source's attention "
            "values. Published: all. 0: none.",
        ),
        io.Combo.Input(
            "blocks",
            options=FLUX_RULES,
            default="all",
            tooltip="Which blocks read them. all: as published. late_single: the single blocks from 20 on, as in "
            "RF-Solver. vital: those of Stable Flow. single: all single blocks.",
        ),
        io.Combo.Input(
            "left_panel",
            options=["locked", "free"],
            default="locked",
            tooltip="locked: at every step the left panel is the source on its way to noise, and in the end the source "
            "itself. free: what the model makes of it, as published.",
        ),
        *_advanced(),
    ]


def _advanced() -> list:
    return [
        io.Float.Input(
            "source_guidance",
            default=1.0,
            min=0.0,
            max=100.0,
            step=0.1,
            advanced=True,
            tooltip="Guidance under the source's caption, on the way to noise.",
        ),
        io.Combo.Input(
            "schedule",
            options=[diptych_noise.FLUX, *schedulers()],
            default=diptych_noise.FLUX,
            advanced=True,
            tooltip="The noise levels, the same for panel and diptych. flux: FLUX.1's own, shifted for the diptych's "
            "size; else one of ComfyUI's, shifted as the model says.",
        ),
        io.Combo.Input(
            "values",
            options=["replay", "memory", "auto"],
            default="replay",
            advanced=True,
            tooltip="replay: the source is evaluated again at every injected step. memory: values are kept in main "
            "memory from the inversion on, 10 GB for a panel of 512 px on FLUX.1 dev. auto: memory where they take no "
            "more than half of what is free.",
        ),
    ]


NODES = [ICEditDiptychFromNoise]
