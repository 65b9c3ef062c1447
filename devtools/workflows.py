"""The shipped workflows, defined once and written in both forms.

    python dev.py bench workflows        # writes workflows/*.json and workflows/api/*.json

A host test compares the files with these definitions.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .canvas import Group, Link, Node, Workflow, api_json, canvas_json

ROOT = Path(__file__).resolve().parents[1]
HUB = "https://huggingface.co"
FILL = {
    "name": "flux1-fill-dev.safetensors",
    "url": f"{HUB}/Comfy-Org/flux1-dev/resolve/main/split_files/diffusion_models/flux1-fill-dev.safetensors",
    "directory": "diffusion_models",
}
CLIP_L = {
    "name": "clip_l.safetensors",
    "url": f"{HUB}/comfyanonymous/flux_text_encoders/resolve/main/clip_l.safetensors",
    "directory": "text_encoders",
}
T5 = {
    "name": "t5xxl_fp16.safetensors",
    "url": f"{HUB}/comfyanonymous/flux_text_encoders/resolve/main/t5xxl_fp16.safetensors",
    "directory": "text_encoders",
}
AE = {
    "name": "ae.safetensors",
    "url": f"{HUB}/Comfy-Org/Lumina_Image_2.0_Repackaged/resolve/main/split_files/vae/ae.safetensors",
    "directory": "vae",
}
MOE_LORA = "ICEdit-MoE-LoRA.safetensors"

LOADER_SIZES = ((320, 90), (320, 140), (320, 70), (320, 130))


def flux_loaders() -> dict[str, Node]:
    """FLUX.1 Fill, its text encoders and autoencoder, and the MoE-LoRA, from the host's model folders."""
    return {
        "unet": Node("UNETLoader", {"unet_name": FILL["name"]}, (0, 40), LOADER_SIZES[0], models=(FILL,)),
        "clip": Node(
            "DualCLIPLoader",
            {"clip_name1": CLIP_L["name"], "clip_name2": T5["name"], "type": "flux"},
            (0, 190),
            LOADER_SIZES[1],
            models=(CLIP_L, T5),
        ),
        "vae": Node("VAELoader", {"vae_name": AE["name"]}, (0, 390), LOADER_SIZES[2], models=(AE,)),
        "lora": Node("ICEditLoadLoRA", {"model": Link("unet"), "lora_name": MOE_LORA}, (0, 520), LOADER_SIZES[3]),
    }


def edit_workflow(
    loaders: Mapping[str, Node],
    model: Link,
    clip: Link,
    vae: Link,
    *,
    image: Node,
    instruction: str,
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
NOISE_MASK = False
DEMO_SCENE = {"seed": 1000000, "task": "recolour", "size": 256}
DEMO_INSTRUCTION = "change the color of the purple triangle to yellow"


def _note(name: str) -> str:
    return (Path(__file__).parent / "notes" / f"{name}.md").read_text(encoding="utf-8")


def definitions() -> dict[str, Workflow]:
    """File name -> workflow."""
    config = json.loads((ROOT / "demo" / "weights" / "config.json").read_text(encoding="utf-8"))
    demo = {"demo": Node("ICEditDemoModel", {}, (0, 40), (320, 90))}
    return {
        "icedit_demo": edit_workflow(
            demo,
            Link("demo", 0),
            Link("demo", 1),
            Link("demo", 2),
            image=Node("ICEditDemoScene", DEMO_SCENE, size=(320, 240)),
            instruction=DEMO_INSTRUCTION,
            width=config["panel"],
            steps=config["steps"],
            seed=0,
            note=_note("demo"),
            prefix="ICEdit/demo",
        ),
        "icedit_flux_fill": edit_workflow(
            flux_loaders(),
            Link("lora"),
            Link("clip"),
            Link("vae"),
            image=Node("LoadImage", {"image": "example.png"}, size=(320, 330), title="Your picture"),
            instruction="make her hair dark green",
            width=512,
            steps=28,
            seed=42,
            note=_note("flux_fill"),
            prefix="ICEdit/edit",
        ),
    }


def node_ids() -> list[str]:
    """The pack's node ids, read off the source of `nodes/`."""
    sources = (path.read_text(encoding="utf-8") for path in sorted((ROOT / "nodes").glob("*.py")))
    return [name for source in sources for name in re.findall(r'node_id="(\w+)"', source)]


def render(info: Mapping[str, Any]) -> dict[Path, str]:
    """Path below `workflows/` -> text, for every workflow in both forms."""
    files = {}
    for name, workflow in definitions().items():
        files[Path(f"{name}.json")] = canvas_json(workflow, info)
        files[Path("api") / f"{name}.json"] = api_json(workflow, info)
    return files


async def _object_info(url: str) -> Mapping[str, Any]:
    from icedit_core.client import ComfyClient

    async with ComfyClient(url) as client:
        return await client.object_info()


def main() -> None:
    """Ask a host for its nodes and write the files."""
    from .server import running_host

    with running_host(Path(os.environ["COMFYUI_PATH"]), ROOT, cpu=True) as host:
        info = asyncio.run(_object_info(host.url))
    for path, text in render(info).items():
        target = ROOT / "workflows" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
