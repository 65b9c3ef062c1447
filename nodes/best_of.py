"""ICEditBestOf: candidates, judge and finish in one box; ICEditMoreCandidates: further seeds."""

import torch
from comfy_api.latest import io

from ..icedit_core import alike
from ..icedit_core.budget import ADAPTIVE, ALL, BUDGETS, spent
from ..icedit_core.candidates import MOST
from ..icedit_core.ranking import METHODS, SCORE
from .host import best_of
from .host.report import say
from .host.schema import (
    LINK,
    IceditCandidates,
    IceditJudge,
    IceditLayout,
    IceditRanking,
    alike_within_input,
    candidate_inputs,
    denoise_input,
)


class ICEditBestOf(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditBestOf",
            display_name="ICEdit Best Of",
            category="ICEdit/choose",
            description="Several seeds a few steps each, a judge picks the best, and only that one is finished: ICEdit "
            "Candidates, Rank and Finish in one box, for any editing model. Put it where the KSampler was.",
            search_aliases=["best of n", "best seed", "choose seed", "early filter", "ksampler", "seeds"],
            inputs=[
                *candidate_inputs(**LINK),
                io.Vae.Input("vae", **LINK, tooltip="Decodes the candidates for the judge, and the result."),
                io.Image.Input("source", **LINK, tooltip="The picture before the edit; the judge compares with it."),
                IceditJudge.Input("judge", **LINK, tooltip="Who chooses."),
                io.String.Input(
                    "instruction",
                    **LINK,
                    multiline=True,
                    dynamic_prompts=False,  # the words as typed, as ICEdit Prompt takes them
                    tooltip="What the edit is meant to do; the judge reads it.",
                ),
                io.Combo.Input(
                    "method",
                    options=[*METHODS, SCORE],
                    default="knockout",
                    tooltip="knockout: the winner stays, count - 1 comparisons (published). round_robin: every pair. "
                    "score: each candidate by itself, VIEScore's SC and PQ. A person clicks once instead.",
                ),
                io.Boolean.Input(
                    "both_orders",
                    default=True,
                    advanced=True,
                    tooltip="Ask about each pair twice, swapped, since judges prefer a position. Not used by score.",
                ),
                io.Float.Input(
                    "good_enough",
                    default=0.0,
                    min=0.0,
                    max=10.0,
                    step=0.1,
                    advanced=True,
                    tooltip="Above 0, with method score: sample and judge one candidate after the other, and stop at "
                    "the first whose overall score reaches this, from 0 to 10; 0 samples all. Another scale with ends "
                    "is brought to 0 to 10; EditReward's has none, and is refused.",
                ),
                io.Int.Input(
                    "drop_after",
                    default=0,
                    min=0,
                    max=9999,
                    optional=True,
                    advanced=True,
                    tooltip="Above 0, and fewer than early_steps: judge after so many steps too, and take only the "
                    "better half to early_steps. Saves steps, costs a second round of judging. One picture at a time.",
                ),
                io.Boolean.Input(
                    "keep_unedited",
                    default=False,
                    optional=True,
                    tooltip="For other editors than ICEdit's diptychs: put the finished edit back onto the source, as "
                    "ICEdit Keep Unedited does. Not used with a layout, which does it anyway.",
                ),
                IceditLayout.Input(
                    "layout",
                    optional=True,
                    **LINK,
                    tooltip="From ICEdit Diptych, for diptychs: restores the right panel. Leave it open for other "
                    "editors.",
                ),
                denoise_input(),
                io.Combo.Input(
                    "budget",
                    options=list(BUDGETS),
                    default=ALL,
                    optional=True,
                    tooltip="all: sample and judge all candidates. adaptive: begin with two, sample further ones only "
                    "until two make the same edit, and show the judge one of each edit. With good_enough: one after "
                    "the other, and no question about an edit that was judged.",
                ),
                alike_within_input("budget adaptive"),
            ],
            outputs=[
                io.Latent.Output(
                    display_name="latent",
                    is_output_list=True,
                    tooltip="The best candidate, finished; what a KSampler gives for its seed.",
                ),
                io.Image.Output(
                    display_name="image",
                    is_output_list=True,
                    tooltip="The same, decoded and restored or kept, if asked.",
                ),
                io.String.Output(
                    display_name="report", is_output_list=True, tooltip="Order, scores, reasons, calls and seconds."
                ),
                io.Image.Output(
                    display_name="sheet",
                    is_output_list=True,
                    tooltip="All candidates in order, with scores and reasons.",
                ),
            ],
            enable_expand=True,
        )

    @classmethod
    def execute(
        cls,
        count,
        vae,
        source,
        judge,
        instruction,
        method,
        both_orders,
        good_enough,
        drop_after=0,
        keep_unedited=False,
        layout=None,
        budget=ALL,
        alike_within=alike.SAME,
        **plan,
    ) -> io.NodeOutput:
        if drop_after and (good_enough or not drop_after < plan["early_steps"]):
            raise ValueError(
                f"ICEdit Best Of: drop_after is {drop_after} with early_steps {plan['early_steps']} and good_enough "
                f"{good_enough:g}, but it must be below early_steps, and good_enough 0. Change one of them."
            )
        if drop_after and budget != ALL:
            raise ValueError(
                f"ICEdit Best Of: budget is {budget} with drop_after {drop_after}, but each decides which candidates "
                "go on. Set drop_after to 0, or budget to all."
            )
        if good_enough and method != SCORE:
            raise ValueError(
                f"ICEdit Best Of: good_enough is {good_enough:g} with method {method}, but only {SCORE} gives numbers "
                f"to compare with. Choose method {SCORE}, or set good_enough to 0."
            )
        same = alike_within if budget == ADAPTIVE else None
        parts = best_of.Parts(vae, source, layout, judge, instruction, method, both_orders, keep_unedited, same)
        done = best_of.expand(plan, parts, good_enough, drop_after, count)
        return io.NodeOutput(*done.outputs, expand=done.graph)


class ICEditGoodEnough(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        later = {"optional": True, "lazy": True}
        kinds = (IceditCandidates, IceditRanking, io.String, io.Image)
        named = list(zip(best_of.RANKED, kinds, strict=True))
        return io.Schema(
            node_id="ICEditGoodEnough",
            display_name="ICEdit Good Enough",
            category="ICEdit/choose",
            description="A part of ICEdit Best Of: stop here, or ask for the next round.",
            is_dev_only=True,
            inputs=[
                io.Float.Input("good_enough", default=8.0, min=0.0, max=10.0, step=0.1),
                *(kind.Input(name, extra_dict={"forceInput": True}) for name, kind in named),
                *(kind.Input(f"later_{name}", extra_dict={"forceInput": True}, **later) for name, kind in named),
            ],
            outputs=[kind.Output(display_name=name) for name, kind in named],
        )

    @classmethod
    def check_lazy_status(cls, good_enough, ranking, **others):
        return [] if cls.enough(good_enough, ranking) else [f"later_{name}" for name in best_of.RANKED]

    @classmethod
    def execute(cls, good_enough, ranking, **others) -> io.NodeOutput:
        if cls.enough(good_enough, ranking):
            now = others | {"ranking": ranking}
            return io.NodeOutput(*(now[name] for name in best_of.RANKED))
        return io.NodeOutput(*(others[f"later_{name}"] for name in best_of.RANKED))

    @classmethod
    def enough(cls, good_enough, ranking) -> bool:
        """Whether the best candidate of every source reaches the score."""
        return all(one.out_of_ten("ICEdit Best Of") >= good_enough for one in ranking)


class ICEditAgreed(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        later = {"optional": True, "lazy": True}
        kinds = (IceditCandidates, io.Image)
        named = list(zip(best_of.SAMPLED, kinds, strict=True))
        return io.Schema(
            node_id="ICEditAgreed",
            display_name="ICEdit Agreed",
            category="ICEdit/choose",
            description="A part of ICEdit Best Of: stop where two candidates make the same edit, or sample one more.",
            is_dev_only=True,
            inputs=[
                io.Image.Input("source"),
                *(kind.Input(name, extra_dict={"forceInput": True}) for name, kind in named),
                *(kind.Input(f"later_{name}", extra_dict={"forceInput": True}, **later) for name, kind in named),
                alike_within_input("ICEdit Best Of"),
            ],
            outputs=[kind.Output(display_name=name) for name, kind in named],
        )

    @classmethod
    def check_lazy_status(cls, source, pictures, alike_within=alike.SAME, **others):
        return [] if cls.agreed(source, pictures, alike_within) else [f"later_{name}" for name in best_of.SAMPLED]

    @classmethod
    def execute(cls, source, pictures, candidates, alike_within=alike.SAME, **later) -> io.NodeOutput:
        if cls.agreed(source, pictures, alike_within):
            return io.NodeOutput(candidates, pictures)
        return io.NodeOutput(*(later[f"later_{name}"] for name in best_of.SAMPLED))

    @classmethod
    def agreed(cls, source, pictures, alike_within) -> bool:
        """Whether of each source two candidates make the same edit."""
        count = len(source)
        return all(alike.agree(source[index], pictures[index::count], alike_within) for index in range(count))


class ICEditGather(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        kinds = (io.Latent, io.Image, io.String, io.Image)
        named = list(zip(best_of.OUTPUTS, kinds, strict=True))
        return io.Schema(
            node_id="ICEditGather",
            display_name="ICEdit Gather",
            category="ICEdit/choose",
            description="A part of ICEdit Best Of: the results of all pictures of a list.",
            is_dev_only=True,
            is_input_list=True,
            inputs=[
                *(kind.Input(name, extra_dict={"forceInput": True}) for name, kind in named),
                IceditCandidates.Input("candidates", optional=True, extra_dict={"forceInput": True}),
                io.Int.Input("most", default=0, min=0, max=MOST, optional=True),
            ],
            outputs=[kind.Output(display_name=name) for name, kind in named],
        )

    @classmethod
    def execute(cls, candidates=(), most=(0,), **lists) -> io.NodeOutput:
        if candidates:
            costs = (spent(len(one.seeds), most[0], *best_of.steps_in_all(one, most[0])) for one in candidates)
            lists["report"] = ["\n".join(both) for both in zip(lists["report"], costs, strict=True)]
        # Each list in one value, since the host takes an expansion's outputs apart: see `best_of._finished`.
        return io.NodeOutput(*(lists[name] for name in best_of.OUTPUTS))


class ICEditMoreCandidates(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditMoreCandidates",
            display_name="ICEdit More Candidates",
            category="ICEdit/choose",
            description="Further seeds beside those that ICEdit Candidates has sampled, which are not sampled again.",
            search_aliases=["early filter", "best of n"],
            inputs=[
                IceditCandidates.Input("candidates", tooltip="From ICEdit Candidates."),
                io.Int.Input("count", default=6, min=1, max=64, tooltip="How many more; their seeds follow on."),
            ],
            outputs=[
                IceditCandidates.Output(display_name="candidates", tooltip="The old ones and the new ones."),
                io.Latent.Output(display_name="previews", tooltip="What each new candidate looks like so far."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, candidates, count) -> io.NodeOutput:
        joined, new = best_of.more(candidates, count)
        text = f"{count} more candidates, seeds {new.seeds[0]} to {new.seeds[-1]}; {len(joined.seeds)} in all."
        return io.NodeOutput(joined, {"samples": torch.cat(new.previews)}, ui=say(cls, text))


NODES = [ICEditBestOf, ICEditGoodEnough, ICEditAgreed, ICEditGather, ICEditMoreCandidates]
