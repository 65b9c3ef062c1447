"""ICEditRank: edits of any editor, put in order by a judge."""

from comfy_api.latest import io

from ..icedit_core import jobs, rank_images
from ..icedit_core.alike import SAME
from ..icedit_core.ranking import METHODS, SCORE
from .host.report import say
from .host.schema import IceditJudge, IceditRanking, alike_within_input
from .host.waiting import cancellable


class ICEditRank(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditRank",
            display_name="ICEdit Rank",
            category="ICEdit/choose",
            description="Let a judge compare edits of one source, whichever editor made them, and give back the best.",
            search_aliases=["best of n", "best seed", "compare", "early filter", "vlm judge"],
            is_input_list=True,
            inputs=[
                io.Image.Input(
                    "source",
                    tooltip="The picture before the edit; several sources, as a batch or a list, are ranked each "
                    "for itself.",
                ),
                io.Image.Input(
                    "candidates",
                    tooltip="The edits, as a batch or a list, any sizes. With a batch of B sources, edit i belongs to "
                    "source i % B; with a list of sources, element i of the list to element i. Whole pictures, not "
                    "diptychs: ICEdit Restore gives them.",
                ),
                io.String.Input(
                    "instruction",
                    multiline=True,
                    dynamic_prompts=False,  # the words as typed, as ICEdit Prompt takes them
                    tooltip="What the edits were meant to do: one for all, or a list with one for each source.",
                ),
                IceditJudge.Input("judge", tooltip="Who compares."),
                io.Combo.Input(
                    "method",
                    options=[*METHODS, SCORE],
                    default="knockout",
                    tooltip="knockout: the winner stays, M - 1 comparisons (published). round_robin: every pair, "
                    "M (M - 1) / 2 comparisons, strengths by Bradley-Terry. score: each edit by itself, in the "
                    "judge's question set (VIEScore: SC and PQ, 2 M questions). A person clicks once instead.",
                ),
                io.Boolean.Input(
                    "both_orders",
                    default=True,
                    tooltip="Ask about each pair twice, swapped, since judges prefer a position; a judge that "
                    "contradicts itself calls a tie. Doubles the calls. Not used by score.",
                ),
                io.Boolean.Input(
                    "drop_alike",
                    default=False,
                    optional=True,
                    tooltip="Of edits that make the same edit, show the judge the first alone; the others are placed "
                    "right behind it. Edits are compared inside what they changed. Saves calls.",
                ),
                alike_within_input("drop_alike"),
            ],
            outputs=[
                io.Image.Output(display_name="best", is_output_list=True, tooltip="The best edit of each source."),
                IceditRanking.Output(display_name="ranking", is_output_list=True, tooltip="For ICEdit Finish."),
                io.Int.Output(
                    display_name="index",
                    is_output_list=True,
                    tooltip="The best edit's number, from 0; the first source's.",
                ),
                io.String.Output(
                    display_name="report", is_output_list=True, tooltip="Order, scores, reasons, calls and seconds."
                ),
                io.Image.Output(
                    display_name="sheet", is_output_list=True, tooltip="All edits in order, with scores and reasons."
                ),
                io.Mask.Output(
                    display_name="regions",
                    is_output_list=True,
                    tooltip="Where the judge saw the best edits, if its questions ask for that, as SpatialReward's do; "
                    "black otherwise. The sheet frames these places in every edit.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    async def execute(
        cls, source, candidates, instruction, judge, method, both_orders, drop_alike=(False,), alike_within=(SAME,)
    ) -> io.NodeOutput:
        one = {"judge": judge, "method": method, "both_orders": both_orders}
        one |= {"drop_alike": drop_alike, "alike_within": alike_within}
        settings = {name: jobs.only(values, name, rank_images.WHO) for name, values in one.items()}
        work = rank_images.rank_jobs(jobs.matched(source, candidates, instruction, rank_images.WHO), **settings)
        done = await cancellable(work)
        indices = [ranked.rankings[0].best for ranked in done]
        best, rankings, reports, sheets, regions = map(list, zip(*done, strict=True))
        return io.NodeOutput(best, rankings, indices, reports, sheets, regions, ui=say(cls, "\n\n".join(reports)))


NODES = [ICEditRank]
