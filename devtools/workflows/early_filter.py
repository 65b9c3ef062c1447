"""The early filter: several seeds a few steps each, a judge, and the best one finished."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..graph import Column, Group, Link, Node, Workflow
from .edit import AMBER, BLUE, GREEN, NARROW, PURPLE, edit_workflow, models_column, with_inputs
from .judges import Judge

COUNT = 6  # the published number of candidates
SETTINGS = ("model", "positive", "negative", "latent_image", "seed", "steps", "cfg", "sampler_name", "scheduler")


def early_filter_workflow(
    edit: Mapping[str, Any],
    *,
    early: int,
    judge: Judge,
    instruction: str | Link,
    note: str,
    prefix: str,
    instead: Mapping[str, Node] | None = None,
) -> Workflow:
    """The edit's graph with its sampler taken apart.

    Args:
        edit: what `edit_workflow` needs beside the words.
        early: steps that every candidate takes.
        instruction: the words, which prompt and judge share, or where they come from.
        instead: another judge, not connected.
    """
    words = {}
    if isinstance(instruction, str):
        words["words"] = Node("PrimitiveStringMultiline", {"value": instruction}, title="What to change", height=110)
        instruction = Link("words")
    base = edit_workflow(**edit, instruction=instruction, note=note, prefix=prefix).nodes
    ends = ("sample", "decode", "restore", "save")
    judges, instead = judge(), instead or {}
    nodes = {
        **{name: node for name, node in base.items() if name not in ends},
        "prompt": replace(base["prompt"], title="In-context prompt", height=0),
        **words,
        **_candidates(base, early, edit["vae"]),
        **judges,
        **instead,
        "rank": _rank(instruction),
        "sheet": Node("PreviewImage", {"images": Link("rank", 4)}, title="In order", height=240),
        "finish": Node("ICEditFinish", {"candidates": Link("candidates", 0), "ranking": Link("rank", 1)}, height=204),
        "decode": with_inputs(base["decode"], samples=Link("finish")),
        "restore": base["restore"],
        "save": replace(base["save"], height=330),
    }
    return Workflow(nodes, _columns(edit["loaders"], words, judges, instead))


def _candidates(base: Mapping[str, Node], early: int, vae: Link) -> dict[str, Node]:
    plan = {name: base["sample"].inputs[name] for name in SETTINGS} | {"count": COUNT, "early_steps": early}
    return {
        "candidates": Node("ICEditCandidates", plan, height=420),
        "previews": Node("VAEDecode", {"samples": Link("candidates", 1), "vae": vae}),
        "panels": Node("ICEditRestore", {"images": Link("previews"), "layout": Link("diptych", 2)}),
    }


def _rank(instruction: str | Link) -> Node:
    inputs = {
        "source": Link("image"),
        "candidates": Link("panels"),
        "instruction": instruction,
        "judge": Link("judge"),
        "method": "knockout",
        "both_orders": True,
    }
    return Node("ICEditRank", inputs, height=560)  # its report grows it, where nodes are HTML


def _columns(*names: Mapping[str, Node]) -> tuple[Column, ...]:
    loaders, words, judges, instead = (tuple(each) for each in names)
    prepare = ("diptych", "negative", "condition", "size", "shift")
    return (
        models_column(loaders),
        Column(NARROW, (Group("2 Your picture, your words", BLUE, ("image", *words, "prompt", *instead)),)),
        Column(NARROW, (Group("3 Side by side", AMBER, prepare),)),
        Column(NARROW, (Group("4 A few steps of each seed", PURPLE, ("candidates", "previews", "panels")),)),
        Column(NARROW, (Group("5 Judge", GREEN, (*judges, "rank", "sheet")),)),
        Column(NARROW, (Group("6 Only the best is finished", BLUE, ("finish", "decode", "restore", "save")),)),
    )
