"""Several seeds that compute only what changes: ICEdit Best Of on the patched model, then the source's own pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..graph import Column, Group, Link, Node, Workflow
from .any_editor import INSTRUCTION
from .edit import AMBER, BLUE, GREEN, NARROW, PURPLE, WIDE, edit_workflow, models_column, note_node, with_inputs
from .judges import host_judge, person_judge
from .keep_unedited import kontext, kontext_files
from .only_changes import only, with_patch

COUNT, EARLY, STEPS = 4, 6, 28
PREFIX = "ICEdit/changes_best"
SEEDS = "4 The best of several"


def only_changes_best_workflows(note: Callable[[str], str], demo: Mapping[str, Any]) -> dict[str, Workflow]:
    """File name -> workflow; `note` gives the text of a note, `demo` is what `edit_workflow` takes for the demo."""
    return {
        "changes_best_of_kontext": _kontext(note("changes_best_of_kontext")),
        "icedit_only_changes_best_demo": _demo(edit_workflow(**demo, note=note("only_changes_best_demo"))),
    }


def best_of(model: Link, latent: Link, vae: Link, source: Link, instruction: Link, **more: Any) -> Node:
    """ICEdit Best Of where a KSampler would be."""
    plan = {"seed": 42, "steps": STEPS, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple"}
    links = {"model": model, "latent_image": latent, "vae": vae, "source": source, "instruction": instruction}
    asked = {"judge": Link("judge"), "method": "knockout", "both_orders": True}
    return Node("ICEditBestOf", {**links, **plan, "count": COUNT, "early_steps": EARLY, **asked, **more})


def _sheet() -> Node:
    return Node("PreviewImage", {"images": Link("best", 3)}, title="In order", height=240)


def _kontext(note: str) -> Workflow:
    loaders, judges, prepare = kontext_files(), host_judge(), kontext()
    prepare["only"] = only(Link("unet"), source=Link("encode"), vae=Link("vae"))
    guided = {name: Link(name) for name in ("positive", "negative")}
    kept = {"source": Link("image"), "edit": Link("best", 1), "vae": Link("vae")}
    nodes = {
        **note_node(note),
        **loaders,
        "image": Node("LoadImage", {"image": "example.png"}, title="Your picture"),
        "words": Node("PrimitiveStringMultiline", {"value": INSTRUCTION}, title="What to change", height=140),
        **prepare,
        **judges,
        "best": best_of(Link("only"), Link("encode"), Link("vae"), Link("seen"), Link("words"), **guided),
        "keep": Node("ICEditKeepUnedited", kept),
        "sheet": _sheet(),
        "save": Node("SaveImage", {"images": Link("keep"), "filename_prefix": PREFIX}, "Edited", height=360),
    }
    return Workflow(
        nodes,
        (
            models_column(loaders),
            Column(NARROW, (Group("2 Your picture, your words", BLUE, ("image", "words")),)),
            Column(NARROW, (Group("3 Prepare", AMBER, tuple(prepare)),)),
            Column(NARROW, (Group(SEEDS, PURPLE, (*judges, "best")),)),
            Column(WIDE, (Group("5 Keep what was not edited", GREEN, ("keep", "sheet", "save")),)),
        ),
    )


def _demo(edit: Workflow) -> Workflow:
    """The demo's edit, patched; the box restores the right panel itself."""
    base = with_patch(edit)
    sampler = base.nodes["sample"].inputs
    links = {name: sampler[name] for name in ("positive", "negative")} | {"layout": Link("diptych", 2)}
    vae, words = base.nodes["decode"].inputs["vae"], base.nodes["prompt"].inputs["instruction"]
    best = best_of(sampler["model"], sampler["latent_image"], vae, Link("image"), words, **links)
    judges = person_judge()
    nodes = {name: node for name, node in base.nodes.items() if name not in ("sample", "decode", "restore", "save")}
    nodes["prompt"] = replace(nodes["prompt"], title="In-context prompt", height=0)  # the words are the scene's
    save = with_inputs(base.nodes["save"], images=Link("best", 1))
    nodes |= {**judges, "best": best, "sheet": _sheet(), "save": save}
    models, words_column, side_by_side = base.columns[:3]
    last = side_by_side.groups[-1]
    last = replace(last, nodes=(*last.nodes[:-1], "size", "only"))
    return Workflow(
        nodes,
        (
            models,
            replace(words_column, groups=(*words_column.groups, Group("Judge", GREEN, tuple(judges)))),
            replace(side_by_side, groups=(*side_by_side.groups[:-1], last)),
            Column(NARROW, (Group(SEEDS, PURPLE, ("condition", "shift", "best")),)),
            Column(WIDE, (Group("5 Result", GREEN, ("sheet", "save")),)),
        ),
    )
