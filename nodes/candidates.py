"""ICEditCandidates and ICEditFinish: several seeds a few steps each, then only the chosen one to the end."""

import torch
from comfy_api.latest import io

from ..icedit_core.candidates import SEAMLESS
from .host import sampling
from .host.report import say

IceditCandidates = io.Custom("ICEDIT_CANDIDATES")
IceditRanking = io.Custom("ICEDIT_RANKING")


class ICEditCandidates(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditCandidates",
            display_name="ICEdit Candidates",
            category="ICEdit/choose",
            description="Sample several seeds for a few early steps and keep where each one stopped. Look at the "
            "previews, then let ICEdit Finish sample only the best one to the end.",
            search_aliases=["early filter", "best of n", "seeds", "ksampler"],
            inputs=[
                io.Model.Input("model", tooltip="As for a KSampler."),
                io.Conditioning.Input("positive", tooltip="As for a KSampler."),
                io.Conditioning.Input("negative", tooltip="As for a KSampler; not used at cfg 1."),
                io.Latent.Input(
                    "latent_image", tooltip="As for a KSampler; one image, or several with candidates each."
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Seed of the first candidate; the next ones take seed + 1, seed + 2, ...",
                ),
                io.Int.Input("count", default=6, min=1, max=64, tooltip="How many candidates. Published: 6."),
                io.Int.Input("steps", default=28, min=2, max=10000, tooltip="Steps of a whole sampling."),
                io.Int.Input(
                    "early_steps",
                    default=10,
                    min=1,
                    max=9999,
                    tooltip="Steps that every candidate takes, fewer than steps. Published: 10 of 50; 4 also help.",
                ),
                io.Float.Input("cfg", default=1.0, min=0.0, max=100.0, step=0.1, tooltip="As for a KSampler; FLUX: 1."),
                io.Combo.Input(
                    "sampler_name",
                    options=sampling.SAMPLERS,
                    default="euler",
                    tooltip=f"{', '.join(sorted(SEAMLESS))} go on where the candidate stopped; with any other "
                    "the chosen seed is sampled again from its first step.",
                ),
                io.Combo.Input(
                    "scheduler",
                    options=sampling.SCHEDULERS,
                    default="simple",
                    tooltip="As for a KSampler; FLUX: simple.",
                ),
                io.Int.Input(
                    "batch",
                    default=1,
                    min=1,
                    max=64,
                    advanced=True,
                    tooltip="Candidates in one model call. 1: the bits that each seed has alone. More: faster on a "
                    "GPU, more memory, results differ by rounding.",
                ),
            ],
            outputs=[
                IceditCandidates.Output(display_name="candidates", tooltip="For ICEdit Finish."),
                io.Latent.Output(
                    display_name="previews",
                    tooltip="What each candidate looks like so far, one after the other; decode and preview them.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model,
        positive,
        negative,
        latent_image,
        seed,
        count,
        steps,
        early_steps,
        cfg,
        sampler_name,
        scheduler,
        batch=1,
    ) -> io.NodeOutput:
        recipe = sampling.Recipe(model, positive, negative, latent_image, steps, cfg, sampler_name, scheduler)
        candidates = sampling.begin(recipe, seed, count, early_steps, batch)
        text = f"{count} candidates, {early_steps} of {steps} steps each; seeds {seed} to {candidates.seeds[-1]}."
        return io.NodeOutput(candidates, {"samples": torch.cat(candidates.previews)}, ui=say(cls, text))


class ICEditFinish(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditFinish",
            display_name="ICEdit Finish",
            category="ICEdit/choose",
            description="Sample the chosen candidate to the end, from the step where it stopped. The result is what a "
            "KSampler gives for that seed.",
            search_aliases=["early filter", "best of n"],
            inputs=[
                IceditCandidates.Input("candidates", tooltip="From ICEdit Candidates."),
                io.Int.Input(
                    "index",
                    default=0,
                    min=0,
                    max=63,
                    tooltip="Which candidate, counted from 0, for every image; not used when a ranking is connected.",
                ),
                IceditRanking.Input(
                    "ranking", optional=True, tooltip="From ICEdit Rank: the best candidate of each image."
                ),
                io.Boolean.Input(
                    "restart",
                    default=False,
                    advanced=True,
                    tooltip="Sample the chosen seed again from its first step, as published. Costs early_steps more "
                    "and gives the same picture.",
                ),
            ],
            outputs=[io.Latent.Output(tooltip="The finished latent, for VAEDecode.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, candidates, index, ranking=None, restart=False) -> io.NodeOutput:
        images = len(candidates.previews[0])
        choice = (index,) * images if ranking is None else tuple(one.best for one in ranking)
        latent, report = sampling.finish(candidates, choice, restart)
        return io.NodeOutput(latent, ui=say(cls, report))


NODES = [ICEditCandidates, ICEditFinish]
