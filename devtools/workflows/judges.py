"""Who chooses: the nodes of a judge, from top to bottom, the last of them called `judge`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..graph import Link, Node
from .models import HUB

Judge = Callable[[], Mapping[str, Node]]

QWEN = {
    "name": "qwen3vl_4b_fp8_scaled.safetensors",
    "url": f"{HUB}/Comfy-Org/Qwen3-VL/resolve/main/text_encoders/qwen3vl_4b_fp8_scaled.safetensors",
    "directory": "text_encoders",
}


def host_judge() -> Mapping[str, Node]:
    """Qwen3-VL as the host's CLIP; of the loader's types the plain one, which leaves the model as it is."""
    load = {"clip_name": QWEN["name"], "type": "stable_diffusion"}
    return {
        "eyes": Node("CLIPLoader", load, title="Load the judge", models=(QWEN,)),
        "judge": Node("ICEditJudgeHost", {"clip": Link("eyes")}, height=80),  # with its badge, where nodes are HTML
    }


def person_judge() -> Mapping[str, Node]:
    """You."""
    return {"judge": Node("ICEditJudgePerson", {}, height=280)}


def server_judge() -> Mapping[str, Node]:
    """A model on a server of this machine, to connect in the place of another judge."""
    return {"server": Node("ICEditJudgeServer", {}, title="Instead of the person: a server")}
