"""ICEditRetry: when no seed helps, the words are mended; and the parts that it expands into."""

from comfy_api.latest import io

from ..icedit_core import retry
from .host import best_of
from .host import retry as hosted
from .host.report import say
from .host.schema import (
    LINK,
    IceditCandidates,
    IceditJudge,
    IceditLayout,
    IceditRanking,
    candidate_inputs,
    denoise_input,
)
from .host.waiting import cancellable

IceditTries = io.Custom("ICEDIT_TRIES")
INSTRUCTION = "What the edit is meant to do, from an Input Text node that also feeds the node that encodes the words."


class ICEditRetry(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditRetry",
            display_name="ICEdit Retry",
            category="ICEdit/choose",
            description="For an instruction that the editor misreads: sample and score; while that is not good enough, "
            "the judge says what is missing, a language model words the instruction anew, and the next round runs with "
            "it. The best of all rounds is finished. For any editing model, in the KSampler's place.",
            search_aliases=["rewrite", "reword", "critique", "prompt enhance", "best of n", "ksampler", "again"],
            inputs=[
                *candidate_inputs(count=2, **LINK),
                io.Vae.Input("vae", **LINK, tooltip="Decodes the candidates for the judge, and the result."),
                io.Image.Input(
                    "source", **LINK, tooltip="The one picture before the edit; the judge compares with it."
                ),
                IceditJudge.Input("judge", **LINK, tooltip="Who scores every round and says what is missing."),
                io.String.Input("instruction", **LINK, extra_dict={"forceInput": True}, tooltip=INSTRUCTION),
                io.Int.Input("rounds", default=3, min=1, max=8, tooltip="How many rounds at most, the first one too."),
                io.Float.Input(
                    "good_enough",
                    default=8.0,
                    min=0.0,
                    max=10.0,
                    step=0.1,
                    tooltip="Stop at the first round whose best edit reaches this overall score, from 0 to 10; 0 runs "
                    "all rounds. Another scale with ends is brought to 0 to 10; EditReward's has none, and needs 0.",
                ),
                IceditJudge.Input(
                    "writer",
                    optional=True,
                    **LINK,
                    tooltip="Who words the instruction anew, without seeing pictures; left open, the judge does. "
                    "Needed with EditReward, which writes nothing.",
                ),
                io.Boolean.Input(
                    "keep_unedited",
                    default=False,
                    optional=True,
                    tooltip="As in ICEdit Best Of: put the finished edit back onto the source. Not used with a layout.",
                ),
                IceditLayout.Input(
                    "layout",
                    optional=True,
                    **LINK,
                    tooltip="From ICEdit Diptych, for diptychs. Leave it open for other editors.",
                ),
                denoise_input(),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="The best edit of all rounds, finished."),
                io.Image.Output(display_name="image", tooltip="The same, decoded and restored or kept, if asked."),
                io.String.Output(display_name="words", tooltip="The instruction that made it."),
                io.String.Output(
                    display_name="report", tooltip="Every round's words, score, steps, calls and seconds."
                ),
                io.Image.Output(display_name="sheet", tooltip="Every round's best edit with its words and score."),
            ],
            hidden=[io.Hidden.dynprompt],
            enable_expand=True,
        )

    @classmethod
    def execute(
        cls,
        vae,
        source,
        judge,
        instruction,
        rounds,
        good_enough,
        writer=None,
        keep_unedited=False,
        layout=None,
        **plan,
    ) -> io.NodeOutput:
        parts = best_of.Parts(vae, source, layout, judge, instruction, "", False, keep_unedited)
        done = hosted.expand(plan, parts, writer or judge, rounds, good_enough, cls.hidden.dynprompt)
        return io.NodeOutput(*done.outputs, expand=done.graph)


def _judging() -> list:
    return [
        io.Image.Input("source"),
        io.String.Input("instruction", extra_dict={"forceInput": True}),
        IceditJudge.Input("judge"),
    ]


class ICEditRetryRound(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        later = {"optional": True, "lazy": True}
        return io.Schema(
            node_id="ICEditRetryRound",
            display_name="ICEdit Retry Round",
            category="ICEdit/choose",
            description="A part of ICEdit Retry: one more round scored, unless the rounds are over.",
            is_dev_only=True,
            is_input_list=True,
            inputs=[
                *_judging(),
                io.String.Input("words", extra_dict={"forceInput": True}),
                io.Float.Input("good_enough", default=8.0, min=0.0, max=10.0, step=0.1),
                IceditTries.Input("tries", optional=True),
                IceditCandidates.Input("candidates", **later),
                io.Image.Input("edits", **later),
            ],
            outputs=[IceditTries.Output(display_name="tries")],
        )

    @classmethod
    def check_lazy_status(cls, source, judge, good_enough, tries=None, **others):
        if len(source) != 1 or source[0].shape[0] != 1:
            raise ValueError(
                f"{retry.WHO}: {sum(len(one) for one in source)} sources, but the words are mended for one picture at "
                "a time. Connect one picture, or use ICEdit Best Of."
            )
        retry.check(judge[0], good_enough[0])
        return [] if tries and tries[0][0].over else ["candidates", "edits"]

    @classmethod
    async def execute(
        cls, source, instruction, judge, words, good_enough, tries=None, candidates=None, edits=None
    ) -> io.NodeOutput:
        before, sampled = tries[0] if tries else (retry.Tries(), ())
        if before.over:
            return io.NodeOutput((before, sampled))
        shown = [picture for batch in edits for picture in batch]
        spent = candidates[0].spent
        work = retry.judged(before, words[0], source[0][0], shown, instruction[0], judge[0], good_enough[0], spent)
        after = await cancellable(work)
        # In plain tuples, so that the host's cache counts the tensors.
        return io.NodeOutput((after, (*sampled, candidates[0])))


class ICEditRetryWords(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditRetryWords",
            display_name="ICEdit Retry Words",
            category="ICEdit/choose",
            description="A part of ICEdit Retry: what is missing, and new words for the next round.",
            is_dev_only=True,
            inputs=[*_judging(), IceditJudge.Input("writer"), IceditTries.Input("tries")],
            outputs=[io.String.Output(display_name="words"), IceditTries.Output(display_name="tries")],
        )

    @classmethod
    async def execute(cls, source, instruction, judge, writer, tries) -> io.NodeOutput:
        before, sampled = tries
        new, after = await cancellable(retry.reworded(before, source[0], instruction, judge, writer))
        return io.NodeOutput(new, (after, sampled))


class ICEditRetryBest(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        kinds = (IceditCandidates, IceditRanking, io.String, io.String, io.Image)
        return io.Schema(
            node_id="ICEditRetryBest",
            display_name="ICEdit Retry Best",
            category="ICEdit/choose",
            description="A part of ICEdit Retry: the best of all rounds, with a report and a sheet of them.",
            is_dev_only=True,
            inputs=[
                IceditTries.Input("tries"),
                io.Image.Input("source"),
                io.Int.Input("rounds", default=3, min=1, max=8),
            ],
            outputs=[kind.Output(display_name=name) for name, kind in zip(hosted.CHOSEN, kinds, strict=True)],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, tries, source, rounds) -> io.NodeOutput:
        all_rounds, sampled = tries
        best = all_rounds.rounds[all_rounds.best]
        text = retry.report(all_rounds, rounds)
        sheet = retry.picture(all_rounds, source[0])
        chosen = sampled[all_rounds.best], (best.ranking,), best.words, text, sheet
        return io.NodeOutput(*chosen, ui=say(cls, text))


NODES = [ICEditRetry, ICEditRetryRound, ICEditRetryWords, ICEditRetryBest]
