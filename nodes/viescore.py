"""ICEditVIEScore: a judge's numbers for edits of any editor."""

from comfy_api.latest import io

from ..icedit_core import jobs, rank_images
from ..icedit_core.judges import asked
from .host.report import say
from .host.schema import IceditJudge
from .host.waiting import cancellable


class ICEditVIEScore(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditVIEScore",
            display_name="ICEdit VIEScore",
            category="ICEdit/choose",
            description="How well an edit follows its instruction (SC) and how natural it looks (PQ), each 0 to 10, in "
            "VIEScore's published words. Two questions for each edit.",
            search_aliases=["score", "metric", "evaluate", "vlm judge"],
            is_input_list=True,
            inputs=[
                io.Image.Input("source", tooltip="The picture before the edit, or several, as a batch or a list."),
                io.Image.Input(
                    "edit",
                    tooltip="The edits, as a batch or a list, any sizes. With a batch of B sources, edit i belongs to "
                    "source i % B; with a list of sources, element i of the list to element i. Whole pictures, not "
                    "diptychs.",
                ),
                io.String.Input(
                    "instruction",
                    multiline=True,
                    dynamic_prompts=False,  # the words as typed, as ICEdit Prompt takes them
                    tooltip="What the edits were meant to do: one for all, or a list with one for each source.",
                ),
                IceditJudge.Input("judge", tooltip="Who scores. It must be able to write a few sentences."),
            ],
            outputs=[
                io.Float.Output(
                    display_name="SC",
                    is_output_list=True,
                    tooltip="Semantic consistency of each edit: the lesser of editing success and absence of "
                    "over-editing. NaN where the judge's answer could not be read.",
                ),
                io.Float.Output(
                    display_name="PQ",
                    is_output_list=True,
                    tooltip="Perceptual quality of each edit: the lesser of naturalness and absence of artifacts.",
                ),
                io.Float.Output(display_name="overall", is_output_list=True, tooltip="sqrt(SC * PQ) of each edit."),
                io.String.Output(display_name="reasons", tooltip="All scores with the judge's words."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    async def execute(cls, source, edit, instruction, judge) -> io.NodeOutput:
        matched = jobs.matched(source, edit, instruction, rank_images.WHO_SCORES)
        only = jobs.only(judge, "judge", rank_images.WHO_SCORES)
        scores = await cancellable(rank_images.score_jobs(matched, only))
        asked_as = asked.of(only)
        lines = [f"{asked_as.name}, {asked_as.scale}"]
        lines += [f"edit {index}: overall {one.overall:.2f}; {one.reason}" for index, one in enumerate(scores)]
        text = "\n".join([*lines, *(f"note: {note}" for one in scores for note in one.notes)])
        columns = [one.sc for one in scores], [one.pq for one in scores], [one.overall for one in scores]
        return io.NodeOutput(*columns, text, ui=say(cls, text))


NODES = [ICEditVIEScore]
