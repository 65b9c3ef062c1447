"""A whole step of a FLUX Fill of full width and few blocks in the real host, without and with the adapter."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file

from . import moe_timing

ROOT = Path(__file__).resolve().parents[2]
DOUBLE, SINGLE = 1, 2  # FLUX has 19 and 38
RANK, EXPERTS = 32, 4
LATENT = (1, 16, 64, 128)  # 1024x512 px, 2,048 tokens
TEXT = 512


def measure(width: int, dtype: torch.dtype, rounds: int) -> dict:
    """Steps of base and adapter by turns, 2,560 tokens, experts and LoRA on all published layers."""
    host = _host()
    device = host.management.get_torch_device()
    weights = random_weights(host, width, dtype)
    names = {key: tuple(value.shape) for key, value in weights.items()}
    model = host.sd.load_diffusion_model_state_dict(weights, model_options={"dtype": dtype})
    del weights
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "adapter.safetensors"
        save_file(random_adapter(names, width), path)
        start = time.perf_counter()
        adapter, top_k = host.files.load(path)
        read = time.perf_counter()
        ours = host.attach(model, adapter, 1.0, top_k)
        attached = time.perf_counter()
    step = Stepper(host, width, dtype)
    turns: dict[str, list[moe_timing.Taken]] = {"base": [], "ours": []}
    patching, peaks = [], {}
    for count in range(rounds + 1):
        for name, patched in (("base", model), ("ours", ours)):
            begun = time.perf_counter()
            seconds, peak, waited = step(patched, device, peak=count == 0)
            if count:
                turns[name].append(seconds)
            else:
                peaks[name] = peak
                patching.append(round(waited - begun, 2))
    bank = ours.get_additional_models()[0].model
    return {
        "width": width,
        "dtype": str(dtype).removeprefix("torch."),
        "tokens": LATENT[2] * LATENT[3] // 4 + TEXT,
        "blocks": [DOUBLE, SINGLE],
        **{name: moe_timing.summary(taken, turns["base"]) for name, taken in turns.items()},
        "seconds": {name: [[round(part, 4) for part in one] for one in taken] for name, taken in turns.items()},
        "peak_mib": peaks,
        "adapter_mib": round((adapter_numel(adapter) * 2) / 2**20, 1),
        "experts_mib": round(sum(p.numel() * p.element_size() for p in bank.parameters()) / 2**20, 1),
        "load_seconds": {
            "read": round(read - start, 3),
            "attach": round(attached - read, 3),
            "host_merges": patching[1],
        },
        "machine": moe_timing.machine(device),
    }


def adapter_numel(adapter) -> int:
    return sum(update.numel for update in (*adapter.plain.values(), *adapter.routed.values()))


class Stepper:
    """One model call inside the host's sampler, where wrappers are in force; a second call is the one timed."""

    def __init__(self, host: ModuleType, width: int, dtype: torch.dtype):
        draw = torch.Generator().manual_seed(1)
        self.host = host
        self.latent = torch.zeros(LATENT)
        text, pooled = torch.randn(1, TEXT, 4096, generator=draw), torch.randn(1, 768, generator=draw)
        self.positive = [[text, {"pooled_output": pooled, "concat_latent_image": self.latent, "guidance": 50.0}]]

    def __call__(self, model, device: torch.device, peak: bool) -> tuple[moe_timing.Taken, float | None, float]:
        found: list = []

        def call(guider, latent, sigmas, extra_args, callback, disable=None, **_):
            started = time.perf_counter()
            at = torch.ones(1, device=latent.device)

            def way():
                return guider(latent, at, **extra_args)

            way()
            found.append(moe_timing.timed(way, device))
            found.append(moe_timing.peak_mib(way, device) if peak else None)
            found.append(started)
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
        return found[0], found[1], found[2]


def random_weights(host: ModuleType, width: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """A FLUX Fill of this width, in the host's naming; its shapes are the host's own."""
    sizes = {
        "image_model": "flux",
        "in_channels": 96,
        "out_channels": 16,
        "vec_in_dim": 768,
        "context_in_dim": 4096,
        "hidden_size": width,
        "mlp_ratio": 4.0,
        "num_heads": width // 128,
        "depth": DOUBLE,
        "depth_single_blocks": SINGLE,
        "axes_dim": [16, 56, 56],
        "theta": 10000,
        "patch_size": 2,
        "qkv_bias": True,
        "guidance_embed": True,
        "txt_ids_dims": [],
    }
    network = host.flux(dtype=dtype, device="meta", operations=host.ops, **sizes)
    draw = torch.Generator().manual_seed(0)
    weights = {}
    for key, empty in network.state_dict().items():
        if empty.ndim == 2:
            weights[key] = torch.empty(empty.shape, dtype=dtype).normal_(0, empty.shape[1] ** -0.5, generator=draw)
        else:
            weights[key] = (
                torch.ones(empty.shape, dtype=dtype) if "norm" in key else torch.zeros(empty.shape, dtype=dtype)
            )
    return weights


def random_adapter(shapes: dict[str, tuple[int, ...]], width: int) -> dict[str, torch.Tensor]:
    """bf16, experts and LoRA on the layers that the published file has, in its names."""
    tensors: dict[str, torch.Tensor] = {}

    def add(name: str, wide: int, out: int, experts: int = 0) -> None:
        for i in range(max(1, experts)):
            tail = f".expert_{i}" if experts else ""
            tensors[f"transformer.{name}.lora_A{tail}.weight"] = torch.randn(RANK, wide).mul_(wide**-0.5).bfloat16()
            tensors[f"transformer.{name}.lora_B{tail}.weight"] = torch.randn(out, RANK).mul_(0.02).bfloat16()
        if experts:
            tensors[f"transformer.{name}.lora_route.weight"] = torch.randn(experts, wide).mul_(wide**-0.5).bfloat16()

    add("x_embedder", shapes["img_in.weight"][1], width)
    for i in range(DOUBLE):
        block = f"transformer_blocks.{i}"
        add(f"{block}.norm1.linear", width, 6 * width)
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            add(f"{block}.attn.{part}", width, width)
        add(f"{block}.ff.net.2", 4 * width, width, EXPERTS)
    for i in range(SINGLE):
        block = f"single_transformer_blocks.{i}"
        add(f"{block}.norm.linear", width, 3 * width)
        add(f"{block}.proj_mlp", width, 4 * width)
        for part in ("to_q", "to_k", "to_v"):
            add(f"{block}.attn.{part}", width, width)
        add(f"{block}.proj_out", 5 * width, width, EXPERTS)
    return tensors


def _host():
    """The host in this process, and the pack's loader in it."""
    comfyui = os.environ["COMFYUI_PATH"]
    if comfyui not in sys.path:
        sys.path.insert(0, comfyui)
    from comfy.cli_args import args

    args.cpu = not torch.cuda.is_available()
    import comfy.ldm.flux.model
    import comfy.model_management
    import comfy.ops
    import comfy.sample
    import comfy.samplers
    import comfy.sd

    spec = importlib.util.spec_from_file_location(
        "icedit_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec and spec.loader
    sys.modules.setdefault("icedit_pack", importlib.util.module_from_spec(spec))
    adapters = importlib.import_module("icedit_pack.nodes.host.adapters")
    host = ModuleType("host")
    host.__dict__.update(
        management=comfy.model_management,
        sd=comfy.sd,
        sample=comfy.sample,
        samplers=comfy.samplers,
        flux=comfy.ldm.flux.model.Flux,
        ops=comfy.ops.manual_cast,
        attach=adapters.attach,
        files=importlib.import_module("icedit_pack.icedit_core.adapters.files"),
    )
    return host
