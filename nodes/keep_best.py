"""ICEditKeepBest: the better candidates some steps further, the others dropped."""

import torch
from comfy_api.latest import io

from .host import sampling
from .host.report import say
from .host.schema import IceditCandidates, IceditRanking


class ICEditKeepBest(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditKeepBest",
            display_name="ICEdit Keep Best",
            category="ICEdit/choose",
            description="Drop the worse candidates and sample the better ones some steps further, so that "
            "hopeless seeds cost little. Rank the result again, then ICEdit Finish.",
            search_aliases=["early filter", "best of n", "successive halving"],
            inputs=[
                IceditCandidates.Input("candidates", tooltip="From ICEdit Candidates."),
                IceditRanking.Input("ranking", tooltip="From ICEdit Rank on the candidates' previews."),
                io.Int.Input("keep", default=3, min=1, max=64, tooltip="How many of the best go on."),
                io.Int.Input(
                    "early_steps",
                    default=10,
                    min=2,
                    max=9999,
                    tooltip="Steps that they have taken then: more than so far, fewer than a whole sampling has.",
                ),
            ],
            outputs=[
                IceditCandidates.Output(
                    display_name="candidates", tooltip="Those kept, the best first as candidate 0."
                ),
                io.Latent.Output(display_name="previews", tooltip="What each of them looks like now."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, candidates, ranking, keep, early_steps) -> io.NodeOutput:
        kept = sampling.advance(candidates, ranking[0].order[:keep], early_steps)
        seeds = ", ".join(str(seed) for seed in kept.seeds)
        text = (
            f"Kept {len(kept.seeds)} of {len(candidates.seeds)} candidates, now at step {early_steps}; seeds {seeds}."
        )
        return io.NodeOutput(kept, {"samples": torch.cat(kept.previews)}, ui=say(cls, text))


NODES = [ICEditKeepBest]
