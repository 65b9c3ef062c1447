"""ICEditJudgeServer: a vision-language model on an OpenAI-compatible server."""

from comfy_api.latest import io

from ..icedit_core.judges.address import HOSTS_VARIABLE
from ..icedit_core.judges.asked.choosing import AUTO, Signs
from ..icedit_core.judges.keys import PREFIX
from ..icedit_core.judges.server import ServerJudge
from .host import questions as asked
from .host.schema import IceditJudge, judge_inputs


class ICEditJudgeServer(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditJudgeServer",
            display_name="ICEdit Judge (server)",
            category="ICEdit/choose",
            description="A vision-language model on an OpenAI-compatible server of this machine (vLLM, Ollama, "
            "LM Studio, llama.cpp). It is asked only when a node that ranks runs.",
            search_aliases=["vlm", "openai", "ollama", "vllm", "early filter"],
            inputs=[
                io.String.Input(
                    "url",
                    default="http://127.0.0.1:8000/v1",
                    tooltip="Root of the API. This machine only, unless its owner allows other hosts in the "
                    f"environment variable {HOSTS_VARIABLE}.",
                ),
                io.String.Input("model", default="", tooltip="The model's name on that server; it must take pictures."),
                io.String.Input(
                    "key_variable",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip=f"Name of the environment variable with the key; it begins with {PREFIX}. Never the "
                    "key itself.",
                ),
                io.Float.Input(
                    "timeout", default=120.0, min=1.0, max=3600.0, advanced=True, tooltip="Seconds for one answer."
                ),
                io.Int.Input(
                    "retries", default=2, min=0, max=10, advanced=True, tooltip="Further tries after a passing fault."
                ),
                io.Int.Input(
                    "parallel", default=4, min=1, max=64, advanced=True, tooltip="Questions asked at the same time."
                ),
                io.Boolean.Input(
                    "free_memory",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="After a ranking, have Ollama drop the model from its memory, so that the next sampling "
                    "has the room. Other servers have no such request; the report then says so.",
                ),
                *judge_inputs(),
                *asked.inputs(),
            ],
            outputs=[IceditJudge.Output(display_name="judge", tooltip="For ICEdit Rank.")],
        )

    @classmethod
    def fingerprint_inputs(cls, question_file=None, **_) -> str:
        """A question file changed on disk counts as a new input; a linked name arrives as None."""
        return asked.stamp(question_file)

    @classmethod
    def execute(
        cls,
        url,
        model,
        key_variable="",
        timeout=120.0,
        retries=2,
        parallel=4,
        free_memory=False,
        questions=AUTO,
        passes=1,
        question_file=asked.NO_FILE,
        **sight,
    ) -> io.NodeOutput:
        if not model.strip():
            raise ValueError("ICEdit judge: the model is empty, but its name on the server is needed. Fill it in.")
        # The name is all that is known here: EditScore's models without Qwen3 in it stand on Qwen2.5-VL.
        signs = Signs(model, numbered="qwen3" not in model.lower())
        way = asked.chosen(questions, passes, question_file, signs)
        place = url.strip(), model.strip(), key_variable.strip()
        return io.NodeOutput(ServerJudge(*place, timeout, retries, parallel, free_memory, questions=way, **sight))


NODES = [ICEditJudgeServer]
