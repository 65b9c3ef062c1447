"""Boxes for the node search: a whole edit from model files, the best of several seeds, and words mended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..graph import Box, Column, Group, Link, Node, Workflow, port
from .early_filter import COUNT, SETTINGS
from .edit import AMBER, BOX_COLUMNS, GREEN, GREY, NARROW, bare_model, boxed_nodes, with_inputs
from .models import AE, CLIP_L, FILL, MOE_LORA, T5, demo_loaders, flux_loaders

FILES = {
    "unet_name": FILL["name"],
    "clip_name1": CLIP_L["name"],
    "clip_name2": T5["name"],
    "vae_name": AE["name"],
    "lora_name": MOE_LORA,
}
SETTING = {"seed": 42, "steps": 28, "width": 512}
DEMO_SETTING = {"steps": 12, "width": 96}  # the demo model's, demo/weights/config.json
CATEGORY = "ICEdit"


def blueprints(instruction: str) -> tuple[Box, ...]:
    """The boxes, with these words in them; that of the demo model with the demo's."""
    first = {"instruction": instruction} | SETTING
    demo = {"instruction": "", "seed": 0, **DEMO_SETTING, "fit": "resize"}
    return (
        _edit_box(first | {"fit": "resize"} | FILES),
        _demo_box(demo),
        _best_box(first | {"count": COUNT, "early_steps": 6} | FILES),
        _retry_box(first | {"count": 2, "early_steps": 6, "rounds": 3, "good_enough": 8.0} | FILES),
    )


def _edit_box(values: dict[str, Any]) -> Box:
    nodes = _nodes()
    nodes["diptych"] = with_inputs(nodes["diptych"], mask=port("mask"), fit=port("fit"))
    return Box(
        "ICEdit",
        Workflow(nodes, (_models(), *BOX_COLUMNS), first=101),
        ("image", "mask", "instruction", "seed", "steps", "width", "fit", *FILES),
        {"image": Link("restore", 0), "change": Link("restore", 1)},
        values,
        "Edit a picture by instruction with FLUX.1 Fill and ICEdit's LoRA. Pixels that were not edited stay as they "
        "were, to the bit. With a mask, editing is allowed only there; fit around_mask works on a box around it.",
        CATEGORY,
    )


def _demo_box(values: dict[str, Any]) -> Box:
    """The same with the small model that comes with the pack: no file on the box."""
    loaders = demo_loaders()
    nodes = {**loaders, **boxed_nodes(Link("lora"), Link("demo", 1), Link("demo", 2))}
    nodes["diptych"] = with_inputs(
        nodes["diptych"], model=bare_model(loaders, Link("lora")), mask=port("mask"), fit=port("fit")
    )
    models = Column(NARROW, (Group("Models", GREY, tuple(loaders)),))
    return Box(
        "ICEdit demo",
        Workflow(nodes, (models, *BOX_COLUMNS), first=301),
        ("image", "mask", "instruction", "seed", "steps", "width", "fit"),
        {"image": Link("restore", 0), "change": Link("restore", 1)},
        values,
        "Edit a picture of ICEdit Demo Scene by instruction, with the small model that comes with the pack: no "
        "download, runs on a CPU. It knows coloured shapes, not photographs.",
        CATEGORY,
    )


def _best_box(values: dict[str, Any]) -> Box:
    nodes = _nodes()
    plan = {name: nodes["sample"].inputs[name] for name in SETTINGS}
    plan |= {"count": port("count"), "early_steps": port("early_steps")}
    parts = {
        "vae": Link("vae"),
        "source": port("image"),
        "judge": port("judge"),
        "instruction": port("instruction"),
        "layout": Link("diptych", 2),
    }
    kept = {name: node for name, node in nodes.items() if name not in ("sample", "decode", "restore")}
    columns = (
        _models(),
        *BOX_COLUMNS[:2],
        Column(NARROW, (Group("Several seeds, the best is finished", GREEN, ("best",)),)),
    )
    return Box(
        "ICEdit best of N",
        Workflow({**kept, "best": Node("ICEditBestOf", plan | parts)}, columns, first=201),
        ("image", "judge", "instruction", "seed", "count", "steps", "early_steps", "width", *FILES),
        {"image": Link("best", 1), "sheet": Link("best", 3), "report": Link("best", 2)},
        values,
        "Edit a picture by instruction with several seeds: each takes a few steps, the judge picks one, and only that "
        "one is finished. Connect any ICEdit judge: a person, a model in ComfyUI, a server.",
        CATEGORY,
    )


def _retry_box(values: dict[str, Any]) -> Box:
    nodes = _nodes()
    plan = {name: nodes["sample"].inputs[name] for name in SETTINGS}
    plan |= {name: port(name) for name in ("count", "early_steps", "rounds", "good_enough")}
    parts = {
        "vae": Link("vae"),
        "source": port("image"),
        "judge": port("judge"),
        "writer": port("writer"),
        "instruction": Link("words"),
        "layout": Link("diptych", 2),
    }
    kept = {name: node for name, node in nodes.items() if name not in ("sample", "decode", "restore")}
    kept["prompt"] = with_inputs(kept["prompt"], instruction=Link("words"))
    words = Node("PrimitiveStringMultiline", {"value": port("instruction")}, title="What to change", height=110)
    columns = (
        _models(),
        Column(NARROW, (Group("Side by side", AMBER, ("words", "diptych", "prompt")),)),
        BOX_COLUMNS[1],
        Column(NARROW, (Group("Rounds with new words, the best is finished", GREEN, ("retry",)),)),
    )
    inside = {**kept, "words": words, "retry": Node("ICEditRetry", plan | parts)}
    return Box(
        "ICEdit retry",
        Workflow(inside, columns, first=401),
        (
            "image", "judge", "writer", "instruction", "seed", "count", "steps", "early_steps", "rounds", "good_enough",
            "width", *FILES,
        ),
        {"image": Link("retry", 1), "words": Link("retry", 2), "sheet": Link("retry", 4), "report": Link("retry", 3)},
        values,
        "Edit a picture by instruction; while the best edit is not good enough, the judge says what is missing, a "
        "language model words the instruction anew, and the next round runs with it. The best one is finished.",
        CATEGORY,
    )  # fmt: skip


def _nodes() -> dict[str, Node]:
    loaders = _loaders()
    nodes = {**loaders, **boxed_nodes(Link("lora"), Link("clip"), Link("vae"))}
    nodes["diptych"] = with_inputs(nodes["diptych"], model=bare_model(loaders, Link("lora")))
    return nodes


def _loaders() -> dict[str, Node]:
    """FLUX Fill's loaders with the file names as widgets of the box."""
    loaders = flux_loaders()
    for name, node in loaders.items():
        named = {key: port(key) for key in node.inputs if key in FILES}
        loaders[name] = replace(node, inputs={**node.inputs, **named})
    return loaders


def _models() -> Column:
    return Column(NARROW, (Group("Models", GREY, ("unet", "clip", "vae", "lora")),))
