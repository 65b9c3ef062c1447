"""The early filter: several seeds a few steps each, a judge, and the best one finished."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..canvas import Group, Link, Node, Workflow
from .edit import edit_workflow
from .judges import Judge

COUNT = 6  # the published number of candidates
SETTINGS = ("model", "positive", "negative", "latent_image", "seed", "steps", "cfg", "sampler_name", "scheduler")


def early_filter_workflow(
    edit: Mapping[str, Any], *, early: int, judge: Judge, instruction: str | Link, note: str, prefix: str
) -> Workflow:
    """The edit's graph with its sampler taken apart.

    Args:
        edit: what `edit_workflow` needs beside the words.
        early: steps that every candidate takes.
        instruction: the words, which prompt and judge share, or where they come from.
    """
    words = {}
    if isinstance(instruction, str):
        words["words"] = Node(
            "PrimitiveStringMultiline", {"value": instruction}, (760, 40), (380, 110), title="What to change"
        )
        instruction = Link("words")
    base = edit_workflow(**edit, instruction=instruction, note=note, prefix=prefix).nodes
    ends = ("sample", "decode", "restore", "save")
    kept = {name: node for name, node in base.items() if name not in ends}
    kept["prompt"] = _moved(kept["prompt"], 760, 200, (380, 260), "In-context prompt")
    kept["negative"], kept["condition"] = _moved(kept["negative"], 760, 520), _moved(kept["condition"], 760, 620)
    vae, sampled = edit["vae"], {name: base["sample"].inputs[name] for name in SETTINGS}
    nodes = {
        **kept,
        **words,
        "candidates": Node(
            "ICEditCandidates", sampled | {"count": COUNT, "early_steps": early}, (1200, 400), (300, 360)
        ),
        "previews": Node("VAEDecode", {"samples": Link("candidates", 1), "vae": vae}, (1560, 40), (380, 50)),
        "panels": Node(
            "ICEditRestore", {"images": Link("previews"), "layout": Link("diptych", 2)}, (1560, 150), (380, 230)
        ),
        **judge(1560, 440),
        "rank": Node(
            "ICEditRank",
            {
                "source": Link("image"),
                "candidates": Link("panels"),
                "instruction": instruction,
                "judge": Link("judge"),
                "method": "knockout",
                "both_orders": True,
            },
            (2000, 40),
            (420, 280),
        ),
        "sheet": Node("PreviewImage", {"images": Link("rank", 4)}, (2000, 380), (420, 460), title="In order"),
        "finish": Node(
            "ICEditFinish", {"candidates": Link("candidates", 0), "ranking": Link("rank", 1)}, (2480, 40), (320, 150)
        ),
        "decode": _with(_moved(base["decode"], 2480, 250), samples=Link("finish")),
        "restore": _moved(base["restore"], 2480, 360),
        "save": _moved(base["save"], 2480, 650),
    }
    return Workflow(nodes, GROUPS)


def _moved(node: Node, x: int, y: int, size: tuple[int, int] | None = None, title: str | None = None) -> Node:
    title = node.title if title is None else title
    return Node(node.type, node.inputs, (x, y), size or node.size, title, node.models, node.text)


def _with(node: Node, **inputs: Any) -> Node:
    return Node(node.type, {**node.inputs, **inputs}, node.pos, node.size, node.title, node.models, node.text)


GROUPS = (
    Group("1 Models", (-20, -40, 360, 1100), "#8A8A8A"),
    Group("2 Picture", (360, -40, 360, 1100), "#3f789e"),
    Group("3 Instruction", (740, -40, 420, 1100), "#b58b2a"),
    Group("4 Candidates: a few steps each", (1180, -40, 340, 1100), "#a1309b"),
    Group("5 Previews and judge", (1540, -40, 420, 1100), "#3f9152"),
    Group("6 Ranking", (1980, -40, 460, 1100), "#3f9152"),
    Group("7 Only the best is finished", (2460, -40, 360, 1100), "#88A"),
)
