"""Model files as the workflows name them, and the nodes that load them."""

from __future__ import annotations

from ..graph import Link, Node

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
NORMAL_LORA = "ICEdit-normal-LoRA.safetensors"
LORA_URLS = {
    MOE_LORA: f"{HUB}/sanaka87/ICEdit-MoE-LoRA/resolve/main/ICEdit-MoE-LoRA.safetensors",
    NORMAL_LORA: f"{HUB}/RiverZ/normal-lora/resolve/main/pytorch_lora_weights.safetensors",
}
DEMO_LORA = "icedit_demo/icedit_demo_moe_lora.safetensors"


def flux_loaders(lora: str | None = MOE_LORA) -> dict[str, Node]:
    """FLUX.1 Fill, its text encoders and autoencoder, and an adapter, from the host's model folders."""
    encoders = {"clip_name1": CLIP_L["name"], "clip_name2": T5["name"], "type": "flux"}
    loaders = {
        "unet": Node("UNETLoader", {"unet_name": FILL["name"]}, models=(FILL,)),
        "clip": Node("DualCLIPLoader", encoders, models=(CLIP_L, T5)),
        "vae": Node("VAELoader", {"vae_name": AE["name"]}, models=(AE,), height=80),
    }
    if lora:
        loaders["lora"] = _load_lora(Link("unet"), lora)
    return loaders


def demo_loaders() -> dict[str, Node]:
    """The small model of the pack and its adapter."""
    return {"demo": Node("ICEditDemoModel", height=90), "lora": _load_lora(Link("demo", 0), DEMO_LORA)}


def _load_lora(model: Link, name: str) -> Node:
    files = ({"name": name, "url": LORA_URLS[name], "directory": "loras"},) if name in LORA_URLS else ()
    inputs = {"model": model, "lora_name": name}
    return Node("ICEditLoadLoRA", inputs, models=files, height=198)  # room for a report of two lines
