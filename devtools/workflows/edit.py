"""The edit itself: one picture, one instruction, one seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..canvas import Group, Link, Node, Workflow

NOISE_MASK = True  # the same successes on the demo and a smaller error outside the edit: benchmarks/demo_model.md


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
) -> Workflow:
    """The edit itself: one graph for the demo model and for FLUX.1 Fill.

    The sigmas are the published pipeline's: ModelSamplingFlux shifts by the diptych's own size.
    """
    nodes: dict[str, Node] = {
        "note": Node("MarkdownNote", pos=(-460, 0), size=(420, 700), title="Read me", text=note),
        **loaders,
        "image": replace(image, pos=(380, 40)),
        "diptych": Node(
            "ICEditDiptych", {"image": Link("image"), "width": width, "fit": "resize"}, (380, 430), (320, 230)
        ),
        "prompt": Node(
            "ICEditPrompt", {"clip": clip, "instruction": instruction}, (760, 40), (380, 300), title="What to change"
        ),
        "negative": Node("ConditioningZeroOut", {"conditioning": Link("prompt")}, (760, 400), (380, 40)),
        "condition": Node(
            "InpaintModelConditioning",
            {
                "positive": Link("prompt"),
                "negative": Link("negative"),
                "vae": vae,
                "pixels": Link("diptych", 0),
                "mask": Link("diptych", 1),
                "noise_mask": NOISE_MASK,
            },
            (760, 500),
            (380, 160),
        ),
        "size": Node("GetImageSize", {"image": Link("diptych")}, (1200, 40), (300, 90)),
        "shift": Node(
            "ModelSamplingFlux",
            {"model": model, "width": Link("size", 0), "height": Link("size", 1)},
            (1200, 190),
            (300, 150),
        ),
        "sample": Node(
            "KSampler",
            {
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
            },
            (1200, 400),
            (300, 270),
        ),
        "decode": Node("VAEDecode", {"samples": Link("sample"), "vae": vae}, (1560, 40), (320, 50)),
        "restore": Node(
            "ICEditRestore", {"images": Link("decode"), "layout": Link("diptych", 2)}, (1560, 150), (320, 230)
        ),
        "save": Node(
            "SaveImage", {"images": Link("restore"), "filename_prefix": prefix}, (1560, 440), (320, 330), title="Edited"
        ),
    }
    return Workflow(nodes, GROUPS)


GROUPS = (
    Group("1 Models", (-20, -40, 360, 740), "#8A8A8A"),
    Group("2 Picture", (360, -40, 360, 740), "#3f789e"),
    Group("3 Instruction", (740, -40, 420, 740), "#b58b2a"),
    Group("4 Sample", (1180, -40, 340, 740), "#a1309b"),
    Group("5 Result", (1540, -40, 360, 840), "#88A"),
)
