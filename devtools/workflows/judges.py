"""Who chooses: the nodes of a judge, placed below one another, the last of them called `judge`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..canvas import Link, Node
from .models import HUB

Judge = Callable[[int, int], Mapping[str, Node]]
"""(x, y) of the upper left corner -> nodes by name."""

QWEN = {
    "name": "qwen3vl_4b_fp8_scaled.safetensors",
    "url": f"{HUB}/Comfy-Org/Qwen3-VL/resolve/main/text_encoders/qwen3vl_4b_fp8_scaled.safetensors",
    "directory": "text_encoders",
}


def host_judge(x: int, y: int) -> Mapping[str, Node]:
    """Qwen3-VL as the host's CLIP; of the loader's types the plain one, which leaves the model as it is."""
    load = {"clip_name": QWEN["name"], "type": "stable_diffusion"}
    return {
        "eyes": Node("CLIPLoader", load, (x, y), (380, 110), title="Load the judge", models=(QWEN,)),
        "judge": Node("ICEditJudgeHost", {"clip": Link("eyes")}, (x, y + 170), (380, 60)),
    }


def person_judge(x: int, y: int) -> Mapping[str, Node]:
    """You; and beside it, not connected, a model on a server of this machine."""
    return {
        "judge": Node("ICEditJudgePerson", {}, (x, y), (380, 320)),
        "server": Node("ICEditJudgeServer", {}, (x, y + 380), (380, 230), title="Instead: a model on a server"),
    }
