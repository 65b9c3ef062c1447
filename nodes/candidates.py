"""ICEditCandidates and ICEditFinish: several seeds a few steps each, then only the chosen one to the end."""

import torch
from comfy_api.latest import io

from .host import sampling
from .host.report import say
from .host.run import Recipe
from .host.schema import IceditCandidates, IceditRanking, candidate_inputs, denoise_input


class ICEditCandidates(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditCandidates",
            display_name="ICEdit Candidates",
            category="ICEdit/choose",
            description="Sample several seeds for a few early steps and keep where each one stopped. Look at the "
            "previews, then let ICEdit Finish sample only the best one to the end.",
            search_aliases=["early filter", "best of n", "best seed", "seeds", "ksampler"],
            inputs=[*candidate_inputs(), denoise_input()],
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
        denoise=1.0,
    ) -> io.NodeOutput:
        recipe = Recipe(model, positive, negative, latent_image, steps, cfg, sampler_name, scheduler, denoise)
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
