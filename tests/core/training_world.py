"""A tiny world to train in: a FLUX with random weights, an autoencoder and a text encoder of one line, pictures in a
folder. Everything follows from seeds, so that every process makes the same one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from icedit_core.training import config as training_config
from icedit_core.training.base import Base
from icedit_core.training.parts import Parts

FLUX = {
    "patch_size": 1, "in_channels": 384, "out_channels": 64, "num_layers": 1, "num_single_layers": 2,
    "attention_head_dim": 16, "num_attention_heads": 2, "joint_attention_dim": 24, "pooled_projection_dim": 8,
    "guidance_embeds": True, "axes_dims_rope": (4, 6, 6),
}  # fmt: skip
ROWS, PANEL, WORDS = 11, 32, 5


def transformer(dtype: torch.dtype, device: torch.device, config: dict = FLUX) -> torch.nn.Module:
    from diffusers import FluxTransformer2DModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return FluxTransformer2DModel(**config).to(device, dtype)


class Pixels:
    """Latents are 4 of 192 sub-pixels a channel; enough of a picture to train on."""

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return pixel_unshuffle(images, 8)[:, ::12] * 2 - 1

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return pixel_shuffle(latents.repeat_interleave(12, dim=1), 8) / 2 + 0.5


class Words:
    """States drawn from a seed that is a hash of the prompt."""

    def problem(self, prompt: str) -> str | None:
        return None

    def encode(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        seeds = [int(hashlib.sha256(p.encode()).hexdigest()[:8], 16) for p in prompts]
        drawn = [torch.randn(WORDS * 24 + 8, generator=torch.Generator().manual_seed(s)) for s in seeds]
        return torch.stack([d[8:].view(WORDS, 24) for d in drawn]), torch.stack([d[:8] for d in drawn])


def base() -> Base:
    parts = Parts(
        config=FLUX,
        transformer=transformer,
        autoencoder=lambda dtype, device: Pixels(),
        tokens=Words,
        texts=lambda dtype, device: Words(),
        text_tokens=WORDS,
        guidance=1.0,
        encoders="tiny",
        identity="tiny",
    )
    return Base(parts, torch.float32, torch.device("cpu"))


def write_rows(folder: Path, count: int = ROWS, broken: bool = True) -> Path:
    """A folder of pairs, of which one is broken."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = []
    for i in range(count):
        for side in ("source", "target"):
            pixels = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}_{side}.png")
        lines.append(
            {"source": f"{i}_source.png", "target": f"{i}_target.png", "instruction": f"edit {i}", "task": "x"}
        )
    if broken:
        lines.insert(3, {**lines[3], "source": "missing.png"})
    (folder / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def values(pairs: Path, out: Path, **sections: dict) -> dict:
    """A small configuration; `sections` are merged into it."""
    made: dict = {
        "model": {"base": "demo", "dtype": "float32"},
        "data": {"path": str(pairs), "panel": [PANEL, PANEL], "cache": str(out / "cache")},
        "adapter": {"rank": 2, "alpha": 2.0, "experts": 3},
        "train": {"steps": 8, "batch": 2, "accumulate": 2, "mixed_precision": "no", "log_every": 3},
        "optimiser": {"name": "adamw", "lr": 1e-3},
        "validation": {"every": 0},
        "output": {"folder": str(out), "save_every": 3},
    }
    for name, section in sections.items():
        made[name] = {**made.get(name, {}), **section}
    return made


def config(pairs: Path, out: Path, **sections: dict) -> training_config.Config:
    return training_config.parse(values(pairs, out, **sections))
