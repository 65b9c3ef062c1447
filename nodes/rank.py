"""ICEditRank: edits of any editor, put in order by a judge."""

from comfy_api.latest import io

from ..icedit_core import rank_images
from ..icedit_core.ranking import METHODS, SCORE
from .host.report import say
from .host.schema import IceditJudge, IceditRanking
from .host.waiting import cancellable


class ICEditRank(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditRank",
            display_name="ICEdit Rank",
            category="ICEdit/choose",
            description="Let a judge compare edits of one source, whichever editor made them, and give back the best.",
            search_aliases=["best of n", "early filter", "vlm judge"],
            is_input_list=True,
            inputs=[
                io.Image.Input(
                    "source", tooltip="The picture before the edit; several sources are ranked each for itself."
                ),
                io.Image.Input(
                    "candidates",
                    tooltip="The edits, as a batch or a list, any sizes. With B sources, edit i belongs to source "
                    "i % B. Whole pictures, not diptychs: ICEdit Restore gives them.",
                ),
                io.String.Input(
                    "instruction",
                    multiline=True,
                    dynamic_prompts=False,  # the words as typed, as ICEdit Prompt takes them
                    tooltip="What the edits were meant to do.",
                ),
                IceditJudge.Input("judge", tooltip="Who compares."),
                io.Combo.Input(
                    "method",
                    options=[*METHODS, SCORE],
                    default="knockout",
                    tooltip="knockout: the winner stays, M - 1 comparisons (published). round_robin: every pair, "
                    "M (M - 1) / 2 comparisons, strengths by Bradley-Terry. score: each edit by itself, VIEScore's "
                    "SC and PQ, 2 M questions that want a judge who writes JSON. A person clicks once instead.",
                ),
                io.Boolean.Input(
                    "both_orders",
                    default=True,
                    tooltip="Ask about each pair twice, swapped, since judges prefer a position; a judge that "
                    "contradicts itself calls a tie. Doubles the calls. Not used by score.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="best", tooltip="The best edit of each source."),
                IceditRanking.Output(display_name="ranking", tooltip="For ICEdit Finish."),
                io.Int.Output(display_name="index", tooltip="The best edit's number, from 0; the first source's."),
                io.String.Output(display_name="report", tooltip="Order, scores, reasons, calls and seconds."),
                io.Image.Output(display_name="sheet", tooltip="All edits in order, with scores and reasons."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    async def execute(cls, source, candidates, instruction, judge, method, both_orders) -> io.NodeOutput:
        sources = [picture for batch in source for picture in batch]
        edits = [picture for batch in candidates for picture in batch]
        work = rank_images.rank(sources, edits, instruction[0], judge[0], method[0], both_orders[0])
        done = await cancellable(work)
        index = done.rankings[0].best
        return io.NodeOutput(done.best, done.rankings, index, done.report, done.sheet, ui=say(cls, done.report))


NODES = [ICEditRank]
