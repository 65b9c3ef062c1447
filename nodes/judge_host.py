"""ICEditJudgeHost: a vision-language model that ComfyUI itself loads as CLIP."""

from comfy_api.latest import io

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
            ],
            outputs=[IceditJudge.Output(display_name="judge", tooltip="For ICEdit Rank.")],
        )

    @classmethod
    def execute(cls, clip) -> io.NodeOutput:
        return io.NodeOutput(HostJudge(clip))


NODES = [ICEditJudgeHost]
