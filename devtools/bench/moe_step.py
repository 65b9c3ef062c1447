"""A whole step of a FLUX Fill of full width and few blocks in the real host, without and with the adapter."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file

from . import moe_model, moe_timing

LATENT = (1, 16, 64, 128)  # 1024x512 px, 2,048 tokens
TEXT = 512


def measure(width: int, stored: torch.dtype, computed: torch.dtype, rounds: int) -> dict:
    """Steps of every way by turns, 2,560 tokens, experts and LoRA on all published layers.

    Memory is looked at once before, with the system's allocator as it comes; the timed rounds keep it in the process.
    """
    host = moe_model.host_modules()
    device = host.management.get_torch_device()
    models, figures = _models(host, width, stored, computed)
    step = Stepper(host, device)
    step(models["base"])  # the libraries' own buffers, which stay
    loose = {name: _first(step, model) for name, model in models.items()}
    turns: dict[str, list[moe_timing.Taken]] = {name: [] for name in models}
    with moe_timing.memory_kept():
        for count in range(rounds + 1):
            for name in moe_timing.shuffled(models, count):
                taken = step(models[name])
                if count:
                    turns[name].append(taken)
    return {
        "width": width,
        "stored": str(stored).removeprefix("torch."),
        "computed": str(computed).removeprefix("torch."),
        "tokens": LATENT[2] * LATENT[3] // 4 + TEXT,
        "blocks": [moe_model.DOUBLE, moe_model.SINGLE],
        "rounds": rounds,
        "ways": {name: moe_timing.summary(taken, turns["base"]) for name, taken in turns.items()},
        "loose": loose,
        "seconds": {name: [[round(part, 3) for part in one] for one in taken] for name, taken in turns.items()},
        **figures,
        "machine": moe_timing.machine(device),
    }


def _models(host: ModuleType, width: int, stored: torch.dtype, computed: torch.dtype) -> tuple[dict, dict]:
    """The ways: the plain model, the same again as a measure of the noise, parts of the adapter, and all of it."""
    weights = moe_model.random_weights(host, width, stored)
    shapes = {key: tuple(value.shape) for key, value in weights.items()}
    model = host.sd.load_diffusion_model_state_dict(weights, model_options={"dtype": stored})
    if computed != (model.get_model_object("manual_cast_dtype") or stored):
        model = model.clone()
        model.set_model_compute_dtype(computed)  # what the stock node ModelComputeDtype does
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "adapter.safetensors"
        save_file(moe_model.random_adapter(shapes, width), path)
        size = path.stat().st_size
        start = time.perf_counter()
        adapter, top_k = host.files.load(path)
        read = time.perf_counter()
        ours = host.attach(model, adapter, 1.0, top_k)
        attached = time.perf_counter()
    models = {
        "base": model,
        "again": model.clone(),
        "plain": host.attach(model, host.adapter(adapter.plain, {}), 1.0, top_k),
        "experts": host.attach(model, host.adapter({}, adapter.routed), 1.0, top_k),
        "ours": ours,
    }
    bank = ours.get_additional_models()[0].model
    return models, {
        "file_mib": round(size / 2**20, 1),
        "experts_mib": round(sum(p.numel() * p.element_size() for p in bank.parameters()) / 2**20, 1),
        "load_seconds": {"read": round(read - start, 3), "attach": round(attached - read, 3)},
    }


def _first(step: Stepper, model) -> dict[str, float | None]:
    """With the system's allocator: what is held once the model is loaded, what a step takes above that, its faults."""
    found: dict[str, float | None] = {}

    def look(way):
        way()
        gc.collect()
        found["resident_mib"] = moe_timing.resident_mib()
        taken: list[moe_timing.Taken] = []
        found["peak_mib"] = moe_timing.peak_mib(lambda: taken.append(moe_timing.timed(way, step.device)), step.device)
        found.update(faults=taken[0].faults, work_ms=round(1000 * taken[0].work, 1))

    start = time.perf_counter()
    began = step.inside(model, look)
    return {"host_loads_seconds": round(began - start, 2), **found}


class Stepper:
    """One model call inside the host's sampler, where wrappers are in force."""

    def __init__(self, host: ModuleType, device: torch.device):
        draw = torch.Generator().manual_seed(1)
        self.host, self.device = host, device
        self.latent = torch.zeros(LATENT)
        text, pooled = torch.randn(1, TEXT, 4096, generator=draw), torch.randn(1, 768, generator=draw)
        self.positive = [[text, {"pooled_output": pooled, "concat_latent_image": self.latent, "guidance": 50.0}]]

    def __call__(self, model) -> moe_timing.Taken:
        taken: list[moe_timing.Taken] = []
        self.inside(model, lambda way: taken.append(moe_timing.timed(way, self.device)))
        return taken[0]

    def inside(self, model, look) -> float:
        """Hand `look` the step once the host has loaded the model; gives the time when that was done."""
        began: list[float] = []

        def call(guider, latent, sigmas, extra_args: Mapping, callback, disable=None, **_):
            began.append(time.perf_counter())
            at = torch.ones(1, device=latent.device)
            look(lambda: guider(latent, at, **extra_args))
            return latent

        with torch.no_grad():
            self.host.sample.sample_custom(
                model,
                self.latent,
                1.0,
                self.host.samplers.KSAMPLER(call),
                torch.tensor([1.0, 0.0]),
                self.positive,
                self.positive,
                self.latent,
                disable_pbar=True,
            )
        return began[0]
