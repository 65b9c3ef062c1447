"""ICEdit on a text-to-image model, a diptych from noise: FLUX.1 dev, and the demo's base with everything masked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..graph import Column, Group, Link, Node, Workflow
from .directedit import BEFORE, DEMO_BEFORE, DEMO_STEPS, flux_dev_loaders
from .edit import AMBER, BLUE, GREEN, NARROW, PURPLE, WIDE, models_column, note_node

DEMO_AFTER = DEMO_BEFORE.replace("pink heart", "red heart")


def text_to_image_workflows(
    note: Callable[[str], str], words: str, scene: Mapping[str, Any], panel: int
) -> dict[str, Workflow]:
    """File name -> workflow.

    Args:
        note: gives the text of a note.
        words: the instruction.
        scene: what ICEditDemoScene takes.
        panel: px, the size that the demo's model knows.
    """
    return {
        "icedit_text_to_image": _flux(note("text_to_image"), words),
        "icedit_text_to_image_demo": _demo(note("text_to_image_demo"), scene, panel),
    }


def _flux(note: str, words: str) -> Workflow:
    vae = Link("vae")
    side = {
        "diptych": Node("ICEditDiptych", {"image": Link("image"), "width": 512, "fit": "resize"}),
        "encode": Node("VAEEncode", {"pixels": Link("diptych", 0), "vae": vae}),
    }
    given = {"source": Link("before"), "positive": Link("prompt"), "latent": Link("encode")}
    return _workflow(
        note,
        flux_dev_loaders(),
        Node("LoadImage", {"image": "example.png"}, title="Your picture"),
        _words(Link("clip"), BEFORE, {"instruction": words, "guidance": 3.5}),
        side,
        Node("ICEditDiptychFromNoise", {"model": Link("unet"), **given, "seed": 42}),
        vae,
        "ICEdit/text_to_image",
    )


def _demo(note: str, scene: Mapping[str, Any], panel: int) -> Workflow:
    vae = Link("demo", 2)
    both = {"positive": Link("before"), "negative": Link("prompt"), "vae": vae, "pixels": Link("diptych", 0)}
    side = {
        "diptych": Node("ICEditDiptych", {"image": Link("image"), "width": panel, "fit": "resize"}),
        "all": Node("SolidMask", {"value": 1.0, "width": 2 * panel, "height": panel}, title="Everything masked"),
        "condition": Node("InpaintModelConditioning", {**both, "mask": Link("all"), "noise_mask": False}),
    }
    given = {"source": Link("condition", 0), "positive": Link("condition", 1), "latent": Link("condition", 2)}
    return _workflow(
        note,
        {"demo": Node("ICEditDemoModel", height=90)},
        Node("ICEditDemoScene", scene),
        _words(Link("demo", 1), DEMO_BEFORE, {"instruction": DEMO_AFTER, "guidance": 3.5, "template": "direct"}),
        side,
        Node("ICEditDiptychFromNoise", {"model": Link("demo", 0), **given, "seed": 0, "steps": DEMO_STEPS}),
        vae,
        "ICEdit/demo_text_to_image",
    )


def _words(clip: Link, before: str, asked: Mapping[str, Any]) -> dict[str, Node]:
    return {
        "before": Node("CLIPTextEncode", {"clip": clip, "text": before}, title="The picture as it is"),
        "prompt": Node("ICEditPrompt", {"clip": clip, **asked}, title="What to change", height=370),
    }


def _workflow(
    note: str,
    loaders: Mapping[str, Node],
    image: Node,
    words: Mapping[str, Node],
    side: Mapping[str, Node],
    paint: Node,
    vae: Link,
    prefix: str,
) -> Workflow:
    nodes = {
        **note_node(note),
        **loaders,
        "image": image,
        **words,
        **side,
        "paint": paint,
        "decode": Node("VAEDecode", {"samples": Link("paint"), "vae": vae}),
        "restore": Node("ICEditRestore", {"images": Link("decode"), "layout": Link("diptych", 2)}),
        "save": Node("SaveImage", {"images": Link("restore"), "filename_prefix": prefix}, "Edited", height=360),
    }
    return Workflow(
        nodes,
        (
            models_column(loaders),
            Column(NARROW, (Group("2 Your picture, your words", BLUE, ("image", *words)),)),
            Column(NARROW, (Group("3 Side by side", AMBER, tuple(side)),)),
            Column(NARROW, (Group("4 From noise", PURPLE, ("paint", "decode")),)),
            Column(WIDE, (Group("5 Result", GREEN, ("restore", "save")),)),
        ),
    )
