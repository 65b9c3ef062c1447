"""ICEditJudgePerson: you are the judge."""

from comfy_api.latest import io

from .host.person import PersonJudge
from .host.schema import IceditJudge


class ICEditJudgePerson(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditJudgePerson",
            display_name="ICEdit Judge (person)",
            category="ICEdit/choose",
            description="You are the judge: the run pauses, this node shows the candidates, and you click the best "
            "one. It asks again at every run. It needs ComfyUI's page; a script gets an error.",
            search_aliases=["choose", "pick", "pause", "image chooser", "human", "early filter"],
            inputs=[],
            outputs=[IceditJudge.Output(display_name="judge", tooltip="For ICEdit Rank or ICEdit Best Of.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls):
        return float("nan")  # never equal to the last run's, so that the person is asked again

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(PersonJudge(cls.hidden.unique_id))


NODES = [ICEditJudgePerson]
