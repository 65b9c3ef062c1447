"""Write the trained demo model as the files that the stock loaders of ComfyUI read.

    COMFYUI_PATH=... python -m workshop.export --state DIR [--out demo/weights]            # the base model
    COMFYUI_PATH=... python -m workshop.export --state DIR --adapters [--out DIR]         # its adapters, when trained

icedit_demo_fill.safetensors     bf16, diffusers' layout of FLUX Fill (UNETLoader)
icedit_demo_vae.safetensors      fp16, TAESD with 16 latent channels (VAELoader)
icedit_demo_clip_l.safetensors   fp16, all zeros: FLUX asks for a CLIP-L, this model ignores it
icedit_demo_t5.safetensors       fp16
config.json                      sizes, sampling, the example, SHA-256 of every file

The adapters are in the published layout, bf16: demo/loras/icedit_demo_moe_lora.safetensors, which ships, and the others
in workshop/loras.
"""

import argparse
import hashlib
import json
from pathlib import Path

import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from demo import scenes
from demo.model_files import EXAMPLE_PICTURE, WEIGHTS

from . import autoencoder, editor, text
from .lora_files import lora_file

STEPS = 12
EXAMPLE = {"seed": scenes.UNSEEN + 1_000_353, "task": "recolour"}
EXAMPLE_SIZE = 256
CLIP_L = {
    "hidden_size": editor.POOLED_WIDTH,
    "intermediate_size": 64,
    "num_attention_heads": 1,
    "num_hidden_layers": 2,
    "projection_dim": editor.POOLED_WIDTH,
}


def clip_l_state_dict() -> dict[str, torch.Tensor]:
    """A small CLIP-L named as the host reads it. All zeros: it gives zeros, and compresses to nothing."""
    config = CLIPTextConfig(**CLIP_L, hidden_act="quick_gelu", eos_token_id=49407, vocab_size=49408)
    state = {
        k if k.startswith("text_model.") else f"text_model.{k}": v
        for k, v in CLIPTextModel(config).state_dict().items()
    }
    shapes = {k: v.shape for k, v in state.items() if "position_ids" not in k}
    shapes["text_projection.weight"] = torch.Size([editor.POOLED_WIDTH, editor.POOLED_WIDTH])
    return {k: torch.zeros(shape) for k, shape in shapes.items()}


def states_of(state: Path) -> dict[str, tuple[dict[str, torch.Tensor], torch.dtype]]:
    """Every file's weights and type from the trainings' checkpoints."""
    coder = autoencoder.TinyAutoencoder()
    coder.load_state_dict(torch.load(state / "autoencoder.pt", weights_only=True)["model"])
    saved = torch.load(state / "base.pt", weights_only=True)
    t5 = text.build(len(saved["ids"]))
    t5.load_state_dict({k.removeprefix("t5."): v for k, v in saved["average"].items() if k.startswith("t5.")})
    flux = {k.removeprefix("flux."): v for k, v in saved["average"].items() if k.startswith("flux.")}
    return {
        "icedit_demo_fill": (flux, torch.bfloat16),
        "icedit_demo_vae": (autoencoder.full_state_dict(coder), torch.float16),
        "icedit_demo_clip_l": (clip_l_state_dict(), torch.float16),
        "icedit_demo_t5": (text.full_state_dict(t5, saved["ids"]), torch.float16),
    }


def export(state: Path, out: Path) -> dict:
    """Write the files; returns what config.json says."""
    out.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for name, (weights, dtype) in states_of(state).items():
        path = out / f"{name}.safetensors"
        typed = {k: (v if v.ndim == 0 else v.to(dtype)).contiguous() for k, v in weights.items()}  # scalars stay exact
        save_file(typed, path, metadata={"license": "Apache-2.0"})
        hashes[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    example = scenes.make(EXAMPLE["seed"], task=EXAMPLE["task"])
    config = {
        "model_options": {"model_config": CLIP_L, "t5xxl_model_config": text.CONFIG},
        "t5_min_length": text.LENGTH,
        "panel": scenes.PANEL,
        "steps": STEPS,
        "sampler": "euler",
        "scheduler": "simple",
        "guidance": editor.GUIDANCE,
        "example_instruction": example.instruction,
        "sha256": hashes,
    }
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return config


def curves(state: Path) -> dict[str, list[dict]]:
    """The learning curves that the trainings saved: minutes, steps, shares of unseen instructions carried out."""
    return {name: torch.load(state / f"{name}.pt", weights_only=True)["curve"] for name in ("autoencoder", "base")}


def export_adapters(state: Path, out: Path | None) -> None:
    """Every trained adapter below `state`, in bf16, to its place or to `out`."""
    for file in sorted(state.glob("*/adapter.safetensors")):
        with safe_open(file, "pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {key: opened.get_tensor(key).to(torch.bfloat16) for key in opened.keys()}
        place = lora_file(file.parent.name)
        path = out / place.name if out else place
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path, metadata={**metadata, "license": "Apache-2.0"})


def write_example(path: Path) -> None:
    """The source of the example scene as a picture."""
    source = scenes.make(EXAMPLE["seed"], EXAMPLE_SIZE, EXAMPLE["task"]).source
    Image.fromarray((source * 255).round().astype("uint8")).save(path, optimize=True)


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--adapters", action="store_true", help="write the adapters and nothing else")
    parser.add_argument("--out", type=Path, help="default: demo/weights; with --adapters demo/loras and workshop/loras")
    parser.add_argument("--record", type=Path, help="also write the learning curves to this JSON file")
    return parser.parse_args(arguments)


def main() -> None:
    args = parsed()
    if args.record:
        args.record.write_text(json.dumps(curves(args.state), indent=1) + "\n", encoding="utf-8")
    if args.adapters:
        export_adapters(args.state, args.out)
        return
    export(args.state, args.out or WEIGHTS)
    write_example(EXAMPLE_PICTURE)


if __name__ == "__main__":
    main()
