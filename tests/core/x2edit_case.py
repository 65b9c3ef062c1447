"""X2Edit's recorded case, and its published folder with a small random AlignNet, which no recording has."""

from pathlib import Path

import torch
from safetensors.torch import load_file

GOLDEN = Path(__file__).parents[1] / "fixtures" / "x2edit"
STATES, WIDE, OUT, POOLED = 3, 16, 32, 24


def align_weights(prefix="", seed=0):
    draw = torch.Generator().manual_seed(seed)
    shapes = {
        "conv.weight": (1, STATES, 5, 5), "conv.bias": (1,),
        "mlp.layernorm.weight": (WIDE,), "mlp.layernorm.bias": (WIDE,),
        "mlp.projector.0.weight": (OUT, WIDE), "mlp.projector.2.weight": (OUT, OUT),
        "mlp.fc.1.weight": (POOLED, OUT), "mlp.fc.1.bias": (POOLED,),
    }  # fmt: skip
    return {prefix + key: torch.randn(shape, generator=draw) for key, shape in shapes.items()}


def published(folder, prefix=""):
    """The three published files, the first two as recorded."""
    folder.mkdir(exist_ok=True)
    for name in ("lora.safetensors", "task_embeddings.bin"):
        (folder / name).write_bytes((GOLDEN / name).read_bytes())
    if prefix:
        tasks = torch.load(folder / "task_embeddings.bin", weights_only=True)
        torch.save({prefix + key: value for key, value in tasks.items()}, folder / "task_embeddings.bin")
    torch.save(align_weights("module."), folder / "diffusion_pytorch_model.bin")
    return folder


def one_file():
    """The tensors of the converted file."""
    tasks = torch.load(GOLDEN / "task_embeddings.bin", weights_only=True)["weight"]
    return load_file(GOLDEN / "lora.safetensors") | {"task_embeddings.weight": tasks} | align_weights("align.")
