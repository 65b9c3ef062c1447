"""ICEditOnlyWhatChanges: a MODEL that computes the tokens an edit changes, and keeps the rest from full steps."""

from comfy_api.latest import io

from ..icedit_core.only_changes import region
from .host import changes_settings as asked
from .host import changes_shown, only_changes
from .host.report import say

DEVICE, CPU = "the model's device", "CPU memory"


class ICEditOnlyWhatChanges(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditOnlyWhatChanges",
            display_name="ICEdit Only What Changes",
            category="ICEdit/edit",
            description="Compute only the part of the picture that an edit changes: SpotEdit or RegionE on FLUX.1 "
            "Kontext, FLUX.2, Qwen-Image-Edit or an ICEdit diptych, with any sampler.",
            search_aliases=["spotedit", "regione", "speed up", "accelerate", "cache", "kv cache", "teacache"],
            inputs=[
                io.Model.Input("model", tooltip="The editor, behind its LoRAs. Bypass the node to compute everything."),
                io.Combo.Input(
                    "method",
                    options=list(asked.METHODS),
                    default="spot",
                    tooltip="spot: SpotEdit, which looks anew at every short step; the spared part becomes the source. "
                    "region: RegionE, one region for the whole sampling; the spared part is the editor's own.",
                ),
                io.Float.Input(
                    "threshold",
                    default=0.0,
                    min=0.0,
                    max=2.0,
                    step=0.005,
                    tooltip="Distance from the source up to which a token is spared; more spares more. 0: the "
                    "selector's own, as published where it is. The report names it.",
                ),
                io.Int.Input(
                    "grow",
                    default=1,
                    min=0,
                    max=64,
                    tooltip="For spot: widen the computed part by this many tokens of 16 px. region has its own.",
                ),
                io.Combo.Input(
                    "kept_in",
                    options=[DEVICE, CPU],
                    default=DEVICE,
                    tooltip="Where keys and values wait for the short steps. They take about 6 GB for 1024 x 1024 px "
                    "with a reference; CPU memory is slower.",
                ),
                io.Latent.Input(
                    "source",
                    optional=True,
                    tooltip="The encoded source at the sampled size, where the reference has another size. Without it: "
                    "the first reference, or of a diptych the sampled latent.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="For spot: the editor's full VAE, through whose decoder the selector then looks, as "
                    "published. Without it, tokens are compared by their cosine.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="What may change, of the picture; of a diptych, of one panel. Any size.",
                ),
                io.Combo.Input(
                    "mask_use",
                    options=list(asked.MASK_USES),
                    default="limit",
                    optional=True,
                    tooltip="limit: nothing outside the mask is computed. fix: the mask is the region. add: the mask "
                    "is always computed, and what changes too.",
                ),
                io.Combo.Input(
                    "selector",
                    options=list(asked.SELECTORS),
                    default="auto",
                    optional=True,
                    advanced=True,
                    tooltip="For spot: how tokens are compared with the source. auto: the VAE decoder's layers where "
                    "there are some, else the cosine. Thresholds differ.",
                ),
                io.String.Input(
                    "full_steps",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="Steps that compute everything, from 0, such as '0-3, 13, 22, 31'. Empty: as published, "
                    "scaled to the number of steps.",
                ),
                io.Int.Input(
                    "last_full",
                    default=0,
                    min=0,
                    max=1000,
                    optional=True,
                    advanced=True,
                    tooltip="For spot: how many steps at the end compute everything, against seams. SpotEdit's later "
                    "code takes a quarter of the steps.",
                ),
                io.Combo.Input(
                    "spared",
                    options=list(asked.FLOWS),
                    default="source",
                    optional=True,
                    advanced=True,
                    tooltip="For spot: where the spared part goes. source: straight to the source. own: it keeps its "
                    "last estimate until the last step, as in the first published code.",
                ),
                io.Float.Input(
                    "reuse_error",
                    default=0.04,
                    min=0.0,
                    max=0.5,
                    step=0.005,
                    optional=True,
                    advanced=True,
                    tooltip="For region: how far a velocity may drift before it is computed again; 0 computes always. "
                    "Only with a fit for the model and the number of steps: published for FLUX.1 Kontext at 28.",
                ),
                io.String.Input(
                    "velocity_fit",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="For region: the fit for another model or number of steps, one number fewer than steps, "
                    "separated by blanks or commas.",
                ),
                io.Float.Input(
                    "whole_from",
                    default=asked.WHOLE_FROM,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="An edit that changes more than this share of the picture is one of the whole picture: "
                    "a new style or background must leave no patch out. Its steps compute everything. 1: never.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="A copy of the model; connect it to any sampler.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model,
        method,
        threshold,
        grow,
        kept_in,
        source=None,
        vae=None,
        mask=None,
        mask_use="limit",
        selector="auto",
        full_steps="",
        last_full=0,
        spared="source",
        reuse_error=0.04,
        velocity_fit="",
        whole_from=asked.WHOLE_FROM,
    ) -> io.NodeOutput:
        settings = asked.Settings(
            method=method,
            threshold=threshold,
            selector=selector,
            grow=grow,
            last_full=last_full,
            full_steps=full_steps,
            flow=spared,
            reuse_error=reuse_error,
            gammas=region.read_fit(asked.WHO, velocity_fit),
            mask=mask,
            mask_use=mask_use,
            source=source,
            vae=vae,
            whole_from=whole_from,
        )

        def told(session, where):
            changes_shown.show(cls, session, where)

        patched = only_changes.attach(model, settings, kept_in == CPU, told)
        return io.NodeOutput(patched, ui=say(cls, "What was computed is shown here after a sampling."))


NODES = [ICEditOnlyWhatChanges]
