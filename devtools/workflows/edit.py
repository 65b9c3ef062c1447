"""The edit itself: one picture, one instruction, one seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..graph import Column, Group, Link, Node, Workflow, port

NOISE_MASK = True  # the same successes on the demo and a smaller error outside the edit: benchmarks/demo_model.md
NARROW, WIDE, NOTE = 270, 330, 450  # px of a column
GREY, BLUE, AMBER, PURPLE, GREEN, SLATE = "#8A8A8A", "#3f789e", "#b58b2a", "#a1309b", "#3f9152", "#8888AA"
BOX_COLUMNS = (  # of an edit that is a box
    Column(NARROW, (Group("Side by side", AMBER, ("diptych", "prompt")),)),
    Column(NARROW, (Group("Prepare", BLUE, ("negative", "condition", "size", "shift")),)),
    Column(NARROW, (Group("Sample", PURPLE, ("sample", "decode")),)),
    Column(NARROW, (Group("Result", GREEN, ("restore",)),)),
)


def edit_workflow(
    loaders: Mapping[str, Node],
    model: Link,
    clip: Link,
    vae: Link,
    *,
    image: Node,
    instruction: str | Link,
    width: int,
    steps: int,
    seed: int,
    note: str,
    prefix: str,
    restore: Mapping[str, Any] | None = None,
    beside: Mapping[str, Node] | None = None,
    **diptych: Any,
) -> Workflow:
    """The edit itself: one graph for the demo model and for FLUX.1 Fill.

    Args:
        restore, diptych: further inputs of ICEditRestore and ICEditDiptych.
        beside: nodes that make the mask of the picture.
    """
    nodes: dict[str, Node] = {
        **note_node(note),
        **loaders,
        "image": image,
        **(beside or {}),
        **edit_nodes(
            model, clip, vae, image=Link("image"), instruction=instruction, width=width, steps=steps, seed=seed
        ),
        "save": Node("SaveImage", {"images": Link("restore"), "filename_prefix": prefix}, title="Edited", height=360),
    }
    nodes["diptych"] = with_inputs(nodes["diptych"], model=bare_model(loaders, model), **diptych)
    nodes["restore"] = with_inputs(nodes["restore"], **(restore or {}))
    return Workflow(
        nodes,
        (
            models_column(loaders),
            Column(NARROW, (Group("2 Your picture, your words", BLUE, ("image", "prompt")),)),
            Column(
                NARROW,
                (
                    *((Group("Mask", BLUE, tuple(beside)),) if beside else ()),
                    Group("3 Side by side", AMBER, ("diptych", "negative", "condition")),
                ),
            ),
            Column(NARROW, (Group("4 Sample", PURPLE, ("size", "shift", "sample", "decode")),)),
            Column(WIDE, (Group("5 Result", GREEN, ("restore", "save")),)),
        ),
    )


def edit_nodes(
    model: Link, clip: Link, vae: Link, *, image: Link, instruction: Any, width: Any, steps: Any, seed: Any
) -> dict[str, Node]:
    """From a picture to the edited picture, `restore`.

    The sigmas are the published pipeline's: ModelSamplingFlux shifts by the diptych's own size.
    """
    words = {"clip": clip, "instruction": instruction}
    return {
        "diptych": Node("ICEditDiptych", {"image": image, "width": width, "fit": "resize", "model": model}),
        "prompt": Node("ICEditPrompt", words, title="What to change", height=370),
        **_prepared(vae),
        **_sampled(model, vae, steps=steps, seed=seed),
        "restore": Node("ICEditRestore", {"images": Link("decode"), "layout": Link("diptych", 2)}),
    }


def boxed_nodes(model: Link, clip: Link, vae: Link) -> dict[str, Node]:
    """`edit_nodes` with the box's own picture, words and settings."""
    asked = {name: port(name) for name in ("image", "instruction", "width", "steps", "seed")}
    return edit_nodes(model, clip, vae, **asked)


def bare_model(loaders: Mapping[str, Node], model: Link) -> Link:
    """What ICEditDiptych looks at: the model before its LoRA, so that another strength does not encode anew."""
    return loaders["lora"].inputs["model"] if "lora" in loaders else model


def with_inputs(node: Node, **inputs: Any) -> Node:
    return replace(node, inputs={**node.inputs, **inputs})


def note_node(text: str) -> dict[str, Node]:
    return {"note": Node("MarkdownNote", title="Read me", height=415, text=text)}


def models_column(loaders: Iterable[str]) -> Column:
    """The note above what is loaded."""
    return Column(NOTE, (Group("Read me", SLATE, ("note",)), Group("1 Models", GREY, tuple(loaders))))


def _prepared(vae: Link) -> dict[str, Node]:
    """What FLUX Fill is conditioned on."""
    inputs = {
        "positive": Link("prompt"),
        "negative": Link("negative"),
        "vae": vae,
        "pixels": Link("diptych", 0),
        "mask": Link("diptych", 1),
        "noise_mask": NOISE_MASK,
    }
    return {
        "negative": Node("ConditioningZeroOut", {"conditioning": Link("prompt")}),
        "condition": Node("InpaintModelConditioning", inputs),
    }


def _sampled(model: Link, vae: Link, *, steps: Any, seed: Any) -> dict[str, Node]:
    """From the model to decoded diptychs."""
    inputs = {
        "model": Link("shift"),
        "positive": Link("condition", 0),
        "negative": Link("condition", 1),
        "latent_image": Link("condition", 2),
        "seed": seed,
        "steps": steps,
        "cfg": 1.0,
        "sampler_name": "euler",
        "scheduler": "simple",
        "denoise": 1.0,
    }
    return {
        "size": Node("GetImageSize", {"image": Link("diptych")}),
        "shift": Node("ModelSamplingFlux", {"model": model, "width": Link("size", 0), "height": Link("size", 1)}),
        "sample": Node("KSampler", inputs),
        "decode": Node("VAEDecode", {"samples": Link("sample"), "vae": vae}),
    }
