"""Editors that compute only what changes: the patch stands between the model and its sampler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..graph import Group, Link, Node, Workflow
from .edit import PURPLE, edit_workflow
from .keep_unedited import kept_edit, kontext, kontext_files, qwen_files, qwen_model, qwen_prepare, sampled

SAMPLE = "4 Sample"
KONTEXT_STEPS, QWEN_STEPS, DEMO_STEPS = 28, 40, 28


def only(model: Link, **inputs: Any) -> Node:
    """The patch as the workflows have it."""
    return Node("ICEditOnlyWhatChanges", {"model": model, **inputs})


def only_changes_workflows(note: Callable[[str], str], demo: Mapping[str, Any]) -> dict[str, Workflow]:
    """File name -> workflow; `note` gives the text of a note, `demo` is what `edit_workflow` takes for the demo."""
    encoded = {"source": Link("encode"), "vae": Link("vae")}
    shifted = {**qwen_model(), "only": only(Link("norm"), **encoded)}
    return {
        "changes_kontext": kept_edit(
            kontext_files(),
            kontext(),
            {"only": only(Link("unet"), **encoded), **sampled(Link("only"), KONTEXT_STEPS, 1.0)},
            note("changes_kontext"),
            prefix="ICEdit/changes",
        ),
        "changes_qwen_image_edit": kept_edit(
            qwen_files(),
            qwen_prepare(),
            {**shifted, **sampled(Link("only"), QWEN_STEPS, 4.0)},
            note("changes_qwen_image_edit"),
            prefix="ICEdit/changes",
        ),
        "icedit_only_changes_demo": with_patch(edit_workflow(**demo, note=note("only_changes_demo"))),
    }


def with_patch(workflow: Workflow) -> Workflow:
    """An edit of ours whose sampler gets the patched model."""
    nodes = dict(workflow.nodes)
    sample = nodes["sample"]
    nodes["only"] = only(sample.inputs["model"])
    nodes["sample"] = replace(sample, inputs={**sample.inputs, "model": Link("only")})
    columns = tuple(
        replace(column, groups=tuple(_with_member(group) for group in column.groups)) for column in workflow.columns
    )
    return replace(workflow, nodes=nodes, columns=columns)


def _with_member(group: Group) -> Group:
    if group.title != SAMPLE or group.color != PURPLE:
        return group
    before = group.nodes.index("sample")
    return replace(group, nodes=(*group.nodes[:before], "only", *group.nodes[before:]))
