"""ICEditJudgeHost: a vision-language model that ComfyUI itself loads as CLIP."""

from comfy_api.latest import io

from ..icedit_core.judges.asked.choosing import AUTO
from .host import questions as asked
from .host.judge_host import HostJudge
from .host.schema import IceditJudge


class ICEditJudgeHost(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditJudgeHost",
            display_name="ICEdit Judge (ComfyUI)",
            category="ICEdit/choose",
            description="A vision-language model that ComfyUI loads as CLIP, in ComfyUI's memory management. Fast and "
            "repeatable: the probabilities of its first word decide.",
            search_aliases=["vlm", "qwen3-vl", "early filter", "best of n"],
            inputs=[
                io.Clip.Input(
                    "clip",
                    tooltip="From Load CLIP: an instruct model that sees pictures, such as Qwen3-VL 4B or 8B. Not "
                    "Qwen2.5-VL, whose output layer ComfyUI does not load: ICEdit Judge (transformers) runs that.",
                ),
                *asked.inputs(),
            ],
            outputs=[IceditJudge.Output(display_name="judge", tooltip="For ICEdit Rank.")],
        )

    @classmethod
    def fingerprint_inputs(cls, question_file=None, **_) -> str:
        """A question file changed on disk counts as a new input; a linked name arrives as None."""
        return asked.stamp(question_file)

    @classmethod
    def execute(cls, clip, questions=AUTO, passes=1, question_file=asked.NO_FILE) -> io.NodeOutput:
        return io.NodeOutput(HostJudge(clip, asked.chosen(questions, passes, question_file)))


NODES = [ICEditJudgeHost]
