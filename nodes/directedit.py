"""ICEditDirectEdit: a picture edited by two captions, through inversion."""

from comfy_api.latest import io

from ..icedit_core.inversion import METHODS, masks
from ..icedit_core.inversion.values import RULES, SCOPES
from .host import inversion
from .host.report import say
from .host.run import schedulers
from .host.schema import seed_input


class ICEditDirectEdit(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditDirectEdit",
            display_name="ICEdit DirectEdit",
            category="ICEdit/invert",
            description="Edit a picture with a text-to-image model and two captions, one of the picture and one of the "
            "edit: the picture is followed to noise under the first and comes back under the second. Takes the "
            "KSampler's place.",
            search_aliases=["inversion", "rf inversion", "rf solver", "flowedit", "unsampler", "ksampler"],
            inputs=[*_sockets(), *_settings()],
            outputs=[
                io.Latent.Output(tooltip="The edit, for VAEDecode."),
                io.Latent.Output(
                    display_name="reconstruction",
                    tooltip="What the method makes of the source's own caption: the source itself with directedit and "
                    "flowedit, something near it with euler and rf_solver.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model,
        source,
        target,
        latent,
        method,
        steps,
        source_guidance,
        target_guidance,
        injected_steps,
        start_step,
        blocks,
        tokens,
        schedule,
        mask_pooling,
        dilation,
        values,
        seed,
        negative=None,
        mask=None,
    ) -> io.NodeOutput:
        guidance = (source_guidance, target_guidance)
        asked = inversion.Asked(
            method, steps, guidance, injected_steps, blocks, tokens, schedule, start_step, mask, mask_pooling, dilation,
            values, seed,
        )  # fmt: skip
        edited, reconstruction, report = inversion.edit(model, source, target, negative, latent, asked)
        return io.NodeOutput(edited, reconstruction, ui=say(cls, report))


def _sockets() -> list:
    return [
        io.Model.Input("model", tooltip="A flow model: FLUX.1 dev, Stable Diffusion 3.5; others are experimental."),
        io.Conditioning.Input("source", tooltip="A caption of the picture as it is."),
        io.Conditioning.Input("target", tooltip="The same caption with the edit in it."),
        io.Latent.Input("latent", tooltip="The picture, from VAE Encode. Its noise mask counts as mask."),
        io.Conditioning.Input(
            "negative",
            optional=True,
            tooltip="The empty prompt, where guidance is classifier-free (Stable Diffusion 3.5); not used with FLUX.1 "
            "dev.",
        ),
        io.Mask.Input(
            "mask",
            optional=True,
            tooltip="Where the picture may change, of the picture's size; elsewhere the latent stays the source's.",
        ),
    ]


def _settings() -> list:
    return [
        io.Combo.Input(
            "method",
            options=list(METHODS),
            default="directedit",
            tooltip="directedit: exact, as published. euler: plain inversion. rf_solver: the midpoint rule, two model "
            "calls a step. flowedit: no inversion, noise from the seed.",
        ),
        io.Int.Input("steps", default=30, min=2, max=1000, tooltip="Steps each way. Published: 30; FlowEdit 28."),
        io.Float.Input(
            "source_guidance",
            default=1.0,
            min=0.0,
            max=100.0,
            step=0.1,
            tooltip="Guidance under the source's caption. Published: 1; FlowEdit on FLUX 1.5.",
        ),
        io.Float.Input(
            "target_guidance",
            default=2.0,
            min=0.0,
            max=100.0,
            step=0.1,
            tooltip="Guidance under the target's caption; more edits more. Published: 2, up to 3.5; FlowEdit 5.5.",
        ),
        io.Int.Input(
            "injected_steps",
            default=3,
            min=0,
            max=1000,
            tooltip="In how many of the first steps the edit reads the source's attention values; more keeps more of "
            "the picture's layout. Published: 3 or 4 of 30 on FLUX, 9 on SD3.5. 0: none.",
        ),
        io.Int.Input(
            "start_step",
            default=0,
            min=0,
            max=999,
            tooltip="Steps left out at the noisy end: more changes the picture less. FlowEdit: 4 of 28.",
        ),
        *_advanced(),
    ]


def _advanced() -> list:
    return [
        io.Combo.Input(
            "blocks",
            options=["published", *RULES],
            default="published",
            advanced=True,
            tooltip="Which blocks hand over values. published: FLUX's single blocks, SD3.5's joint ones, for rf_solver "
            "FLUX's single blocks from 20 on (late_single). vital: those of Stable Flow.",
        ),
        io.Combo.Input(
            "tokens",
            options=list(SCOPES),
            default="all",
            advanced=True,
            tooltip="Whose values are handed over: all tokens, text included, as published, or the image's alone. "
            "Captions of different token counts take the image's alone, and the node says so.",
        ),
        io.Combo.Input(
            "schedule",
            options=["published", *schedulers()],
            default="published",
            advanced=True,
            tooltip="The noise levels. published: the method's own, for FLUX.1 and SD3.5; else one of ComfyUI's, "
            "shifted as the model says.",
        ),
        io.Combo.Input(
            "mask_pooling",
            options=list(masks.POOLINGS),
            default="area",
            advanced=True,
            tooltip="How the mask comes to the tokens. area: their mean, thin strokes count. max: all that the mask "
            "touches, better for small things. published: the 4 pixels in the middle of each. Values below 1 act at "
            "every step, so such a token stays mostly as it was.",
        ),
        io.Int.Input(
            "dilation",
            default=0,
            min=0,
            max=256,
            advanced=True,
            tooltip="Pixels by which the mask grows first. Published: 0 on FLUX, 3 on SD3.5.",
        ),
        io.Combo.Input(
            "values",
            options=["auto", "memory", "replay"],
            default="auto",
            advanced=True,
            tooltip="memory: values are kept in main memory from the inversion on. replay: the source is evaluated "
            "again at each injected step. auto: memory where they take no more than half of what is free.",
        ),
        seed_input("Of flowedit's noise; the other methods draw none.", advanced=True),
    ]


NODES = [ICEditDirectEdit]
