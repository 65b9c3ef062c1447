"""An edit by inversion, from two captions: FLUX.1 dev, and the demo's base with everything masked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..graph import Column, Group, Link, Node, Workflow
from .edit import AMBER, BLUE, GREEN, NARROW, PURPLE, WIDE, models_column, note_node
from .models import AE, CLIP_L, T5
from .x2edit import DEV

BEFORE = "a young woman with long brown hair, smiling at the camera, in a garden"
AFTER = "a young woman with long dark green hair, smiling at the camera, in a garden"
DEMO_BEFORE = (
    "a blue triangle in the bottom right, a pink heart in the top left, a yellow star in the top right, on a black "
    "background"
)
DEMO_AFTER = DEMO_BEFORE.replace("black background", "white background")
DEMO_STEPS = 16


def directedit_workflows(note: Callable[[str], str], scene: Mapping[str, Any], panel: int) -> dict[str, Workflow]:
    """File name -> workflow.

    Args:
        note: gives the text of a note.
        scene: what ICEditDemoScene takes.
        panel: px, the size that the demo's model knows.
    """
    return {"directedit": _flux(note("directedit")), "directedit_demo": _demo(note("directedit_demo"), scene, panel)}


def flux_dev_loaders() -> dict[str, Node]:
    encoders = {"clip_name1": CLIP_L["name"], "clip_name2": T5["name"], "type": "flux"}
    return {
        "unet": Node("UNETLoader", {"unet_name": DEV["name"]}, models=(DEV,)),
        "clip": Node("DualCLIPLoader", encoders, models=(CLIP_L, T5)),
        "vae": Node("VAELoader", {"vae_name": AE["name"]}, models=(AE,), height=80),
    }


def _flux(note: str) -> Workflow:
    prepare = {
        "seen": Node("FluxKontextImageScale", {"image": Link("image")}),
        "encode": Node("VAEEncode", {"pixels": Link("seen"), "vae": Link("vae")}),
    }
    sides = {"source": Link("before"), "target": Link("after"), "latent": Link("encode")}
    edit = Node("ICEditDirectEdit", {"model": Link("unet"), **sides})
    image = Node("LoadImage", {"image": "example.png"}, title="Your picture")
    captions = _captions(Link("clip"), BEFORE, AFTER)
    return _workflow(note, flux_dev_loaders(), image, captions, prepare, edit, Link("vae"), "ICEdit/directedit")


def _demo(note: str, scene: Mapping[str, Any], panel: int) -> Workflow:
    vae, sides = Link("demo", 2), {"width": panel, "height": panel}
    scaled = {"image": Link("image"), "upscale_method": "area", **sides, "crop": "disabled"}
    both = {"positive": Link("before"), "negative": Link("after"), "vae": vae, "pixels": Link("seen")}
    prepare = {
        "seen": Node("ImageScale", scaled),
        "all": Node("SolidMask", {"value": 1.0, **sides}, title="Everything masked"),
        "condition": Node("InpaintModelConditioning", {**both, "mask": Link("all"), "noise_mask": False}),
    }
    links = {"source": Link("condition", 0), "target": Link("condition", 1), "latent": Link("condition", 2)}
    settings = {"steps": DEMO_STEPS, "injected_steps": 0}
    edit = Node("ICEditDirectEdit", {"model": Link("demo", 0), **links, **settings})
    loaders, image = {"demo": Node("ICEditDemoModel", height=90)}, Node("ICEditDemoScene", scene)
    captions = _captions(Link("demo", 1), DEMO_BEFORE, DEMO_AFTER)
    return _workflow(note, loaders, image, captions, prepare, edit, vae, "ICEdit/demo_directedit")


def _captions(clip: Link, before: str, after: str) -> dict[str, Node]:
    return {
        "before": Node("CLIPTextEncode", {"clip": clip, "text": before}, title="The picture as it is"),
        "after": Node("CLIPTextEncode", {"clip": clip, "text": after}, title="The picture after the edit"),
    }


def _workflow(
    note: str,
    loaders: Mapping[str, Node],
    image: Node,
    captions: Mapping[str, Node],
    prepare: Mapping[str, Node],
    edit: Node,
    vae: Link,
    prefix: str,
) -> Workflow:
    kept = {"source": Link("image"), "edit": Link("decode"), "vae": vae}
    nodes = {
        **note_node(note),
        **loaders,
        "image": image,
        **captions,
        **prepare,
        "edit": edit,
        "decode": Node("VAEDecode", {"samples": Link("edit"), "vae": vae}),
        "keep": Node("ICEditKeepUnedited", kept),
        "save": Node("SaveImage", {"images": Link("keep"), "filename_prefix": prefix}, "Edited", height=360),
    }
    return Workflow(
        nodes,
        (
            models_column(loaders),
            Column(NARROW, (Group("2 Your picture, two captions", BLUE, ("image", *captions)),)),
            Column(NARROW, (Group("3 Prepare", AMBER, tuple(prepare)),)),
            Column(NARROW, (Group("4 Edit by inversion", PURPLE, ("edit", "decode")),)),
            Column(WIDE, (Group("5 Keep what was not edited", GREEN, ("keep", "save")),)),
        ),
    )
