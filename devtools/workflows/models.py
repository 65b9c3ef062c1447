"""Model files as the workflows name them, and the nodes that load them."""

from __future__ import annotations

from ..canvas import Link, Node

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

LOADER_SIZES = ((320, 90), (320, 140), (320, 70), (320, 130))


def flux_loaders(lora: str | None = MOE_LORA) -> dict[str, Node]:
    """FLUX.1 Fill, its text encoders and autoencoder, and an adapter, from the host's model folders."""
    loaders = {
        "unet": Node("UNETLoader", {"unet_name": FILL["name"]}, (0, 40), LOADER_SIZES[0], models=(FILL,)),
        "clip": Node(
            "DualCLIPLoader",
            {"clip_name1": CLIP_L["name"], "clip_name2": T5["name"], "type": "flux"},
            (0, 190),
            LOADER_SIZES[1],
            models=(CLIP_L, T5),
        ),
        "vae": Node("VAELoader", {"vae_name": AE["name"]}, (0, 390), LOADER_SIZES[2], models=(AE,)),
    }
    if lora:
        loaders["lora"] = Node("ICEditLoadLoRA", {"model": Link("unet"), "lora_name": lora}, (0, 520), LOADER_SIZES[3])
    return loaders
