"""Editors that compute only what changes: the patch stands behind the model and its LoRAs, before its sigmas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..graph import Group, Link, Node, Workflow
from .edit import AMBER, edit_workflow
from .keep_unedited import kept_edit, kontext, kontext_files, qwen_files, qwen_model, qwen_prepare, sampled

BESIDE = "3 Side by side"
KONTEXT_STEPS, QWEN_STEPS, DEMO_STEPS = 28, 40, 28


def only(model: Link, **inputs: Any) -> Node:
    """The patch as the workflows have it; it stands last in its column, since it grows with what it shows."""
    return Node("ICEditOnlyWhatChanges", {"model": model, **inputs})


def only_changes_workflows(note: Callable[[str], str], demo: Mapping[str, Any]) -> dict[str, Workflow]:
    """File name -> workflow; `note` gives the text of a note, `demo` is what `edit_workflow` takes for the demo."""
    patch = {"only": only(Link("unet"), source=Link("encode"), vae=Link("vae"))}
    shifted = qwen_model()
    shifted["shift"] = replace(shifted["shift"], inputs={**shifted["shift"].inputs, "model": Link("only")})
    prepare = qwen_prepare()
    seen = {name: prepare.pop(name) for name in ("seen", "encode", "text")}  # the next column is tall without them
    return {
        "changes_kontext": kept_edit(
            kontext_files(),
            {**kontext(), **patch},
            sampled(Link("only"), KONTEXT_STEPS, 1.0),
            note("changes_kontext"),
            prefix="ICEdit/changes",
        ),
        "changes_qwen_image_edit": kept_edit(
            qwen_files(),
            {**prepare, **patch},
            {**shifted, **sampled(Link("norm"), QWEN_STEPS, 4.0)},
            note("changes_qwen_image_edit"),
            seen,
            "ICEdit/changes",
        ),
        "icedit_only_changes_demo": with_patch(edit_workflow(**demo, note=note("only_changes_demo"))),
    }


def with_patch(workflow: Workflow) -> Workflow:
    """An edit of ours whose sampler gets the patched model."""
    nodes = dict(workflow.nodes)
    shift = nodes["shift"]
    nodes["only"] = only(shift.inputs["model"])
    nodes["shift"] = replace(shift, inputs={**shift.inputs, "model": Link("only")})
    columns = tuple(
        replace(column, groups=tuple(_with_member(group) for group in column.groups)) for column in workflow.columns
    )
    return replace(workflow, nodes=nodes, columns=columns)


def _with_member(group: Group) -> Group:
    """The patch last in its column; what it leaves no room for there goes to the sampler's."""
    if (group.title, group.color) == (BESIDE, AMBER):
        return replace(group, nodes=(*(name for name in group.nodes if name != "condition"), "only"))
    if "shift" in group.nodes:
        return replace(group, nodes=("condition", *group.nodes))
    return group
