"""A FLUX Fill of any width with random weights, an adapter for it, and the host in this process."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import torch

ROOT = Path(__file__).resolve().parents[2]
DOUBLE, SINGLE = 1, 2  # FLUX has 19 and 38
RANK, EXPERTS = 32, 4


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


def host_modules() -> ModuleType:
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
        adapter=importlib.import_module("icedit_pack.icedit_core.adapters.weights").Adapter,
    )
    return host
