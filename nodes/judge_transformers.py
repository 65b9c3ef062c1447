"""ICEditJudgeTransformers: an image-text model of the `transformers` library, from a folder."""

from comfy_api.latest import io

from ..icedit_core.judges.asked.choosing import AUTO, EDITREWARD
from .host import judge_transformers as hosted
from .host import questions as asked
from .host.schema import IceditJudge, judge_inputs


class ICEditJudgeTransformers(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditJudgeTransformers",
            display_name="ICEdit Judge (transformers)",
            category="ICEdit/choose",
            description="An image-text model from a folder of this machine (Qwen2.5-VL, Qwen3-VL and others), run by "
            "the transformers library in ComfyUI's memory management. Loaded when it is first asked.",
            search_aliases=["vlm", "qwen2.5-vl", "editscore", "editreward", "early filter", "best of n"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=hosted.model_names(),
                    tooltip="A folder below models/LLM or models/text_encoders with config.json and .safetensors "
                    "files. No code from it is run and nothing is fetched.",
                ),
                io.Combo.Input(
                    "adapter",
                    options=hosted.adapter_names(),
                    default=hosted.NO_ADAPTER,
                    tooltip="A peft adapter for that model, such as EditScore's: a folder below models/LLM, "
                    "models/text_encoders or models/loras with adapter_config.json. A plain LoRA on Linear layers.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=list(hosted.DTYPES),
                    default="auto",
                    advanced=True,
                    tooltip="How numbers are kept. auto: bfloat16 where the device is good at it.",
                ),
                *judge_inputs(),
                *asked.inputs(EDITREWARD),
            ],
            outputs=[IceditJudge.Output(display_name="judge", tooltip="For ICEdit Rank.")],
        )

    @classmethod
    def fingerprint_inputs(cls, model=None, adapter=None, question_file=None, **_) -> str:
        """Files changed on disk count as a new input; a linked name arrives as None."""
        return (hosted.stamp(model, adapter) if model and adapter else "") + asked.stamp(question_file)

    @classmethod
    def execute(
        cls,
        model,
        adapter=hosted.NO_ADAPTER,
        dtype="auto",
        questions=AUTO,
        passes=1,
        question_file=asked.NO_FILE,
        **sight,
    ) -> io.NodeOutput:
        return io.NodeOutput(hosted.judge(model, adapter, dtype, (questions, passes, question_file), **sight))


NODES = [ICEditJudgeTransformers]
