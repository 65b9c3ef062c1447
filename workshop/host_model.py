"""The demo model in a real ComfyUI, in this process, on the CPU: stock loaders and nodes, and the pack's adapters."""

import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import torch
from safetensors import safe_open

from demo.model_files import ADAPTER, WEIGHTS

from . import text


class HostModel:
    """Model, text encoders and autoencoder as the host holds them.

    Args:
        weights: folder with the files and config.json.
        adapter: what makes `model` of `base`; None leaves the base alone.
    """

    def __init__(self, weights: Path = WEIGHTS, adapter: Path | None = ADAPTER):
        sys.path.insert(0, str(text.host_path()))
        from comfy.cli_args import args

        args.cpu = True
        import comfy.sd
        import comfy.utils
        from comfy_extras.nodes_flux import FluxGuidance
        from comfy_extras.nodes_model_advanced import ModelSamplingFlux

        import nodes

        comfy.utils.set_progress_bar_enabled(False)
        self.config = json.loads((weights / "config.json").read_text(encoding="utf-8"))
        files = {k: str(weights / f"icedit_demo_{k}.safetensors") for k in ("fill", "vae", "clip_l", "t5")}
        self.base = comfy.sd.load_diffusion_model(files["fill"])
        self.model = self.adapted(adapter) if adapter else self.base
        self.vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(files["vae"]))
        self.clip = comfy.sd.load_clip(
            [files["clip_l"], files["t5"]],
            clip_type=comfy.sd.CLIPType.FLUX,
            model_options=dict(self.config["model_options"]),
        )
        self.clip.set_tokenizer_option("t5xxl_min_length", self.config["t5_min_length"])
        self._encode = nodes.CLIPTextEncode().encode
        self._inpaint = nodes.InpaintModelConditioning().encode
        self._sample = nodes.common_ksampler
        self._guide, self._shift = FluxGuidance, ModelSamplingFlux

    def adapted(self, path: Path):
        """A copy of the base with an adapter in force, as ICEditLoadLoRA gives it."""
        pack = _pack()
        adapter, top_k = pack.files.load(path)
        return pack.adapters.attach(self.base, adapter, 1.0, top_k)

    @staticmethod
    def pack() -> str:
        """Import the pack in this process.

        Returns:
            the name under which its modules are found.
        """
        return _pack().adapters.__name__.split(".")[0]

    @staticmethod
    def parameters(path: Path) -> int:
        """Number of parameters in a safetensors file."""
        with safe_open(path, "pt") as file:
            return sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())

    @torch.no_grad()
    def conditioning(self, instructions: list[str], in_context: bool = True):
        """One conditioning whose rows are the instructions, in the in-context prompt or as they are."""
        prompts = [text.IC_TEMPLATE.format(instruction=i) if in_context else i for i in instructions]
        encoded = [self._encode(self.clip, prompt)[0][0] for prompt in prompts]
        states = torch.cat([states for states, _ in encoded])
        pooled = torch.cat([extra["pooled_output"] for _, extra in encoded])
        return self._guide.execute([[states, {"pooled_output": pooled}]], self.config["guidance"]).args[0]

    @torch.no_grad()
    def edit(
        self, sources: torch.Tensor, instructions: list[str], seed: int, noise_mask: bool, model=None, in_context=True
    ) -> torch.Tensor:
        """Edit images (B, H, W, 3) in [0, 1]; returns the right panels, (B, H, W, 3).

        Args:
            noise_mask: overwrite the left half's latent at every step.
            model: from `adapted`; None is `self.model`.
            in_context: wrap the instructions in the published prompt.
        """
        count, height, width, _ = sources.shape
        diptych = torch.cat([sources, sources], dim=2)
        mask = torch.zeros(count, height, 2 * width)
        mask[:, :, width:] = 1
        positive = self.conditioning(instructions, in_context)
        positive, negative, latent = self._inpaint(positive, positive, diptych, self.vae, mask, noise_mask)
        model = self._shift().patch(model or self.model, 1.15, 0.5, 2 * width, height)[0]
        how = (self.config["steps"], 1.0, self.config["sampler"], self.config["scheduler"])
        done = self._sample(model, seed, *how, positive, negative, latent)[0]
        return self.vae.decode(done["samples"])[:, :, width:].clamp(0, 1)

    @torch.no_grad()
    def autoencode(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Encode and decode one diptych; returns its right panel."""
        decoded = self.vae.decode(self.vae.encode(torch.cat([left, right], dim=1)[None]))
        return decoded[0, :, left.shape[1] :].clamp(0, 1)

    @torch.no_grad()
    def velocity(self, noisy: torch.Tensor, masked: torch.Tensor, states: torch.Tensor, t: float = 0.7) -> torch.Tensor:
        """The base's v in the host for noisy latents, the right half masked; all (B, 16, H, W) in the model's scale."""
        import comfy.model_management

        comfy.model_management.load_models_gpu([self.base])
        count, _, h, w = masked.shape
        mask = torch.zeros(count, 64, h, w)
        mask[..., w // 2 :] = 1
        pooled = torch.zeros(count, self.config["model_options"]["model_config"]["hidden_size"])
        denoised = self.base.model.apply_model(
            noisy,
            torch.full((count,), t),
            c_concat=torch.cat([masked, mask], dim=1),
            c_crossattn=states,
            y=pooled,
            guidance=torch.full((count,), float(self.config["guidance"])),
        )
        return (noisy - denoised) / t


def _pack():
    """The pack's adapter code; the pack's root must not be on sys.path, where its `nodes` would hide the host's."""
    name, root = "icedit_pack", Path(__file__).resolve().parents[1]
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, root / "__init__.py", submodule_search_locations=[str(root)]
        )
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return _Pack(
        importlib.import_module(f"{name}.icedit_core.adapters.files"),
        importlib.import_module(f"{name}.nodes.host.adapters"),
    )


class _Pack(NamedTuple):
    files: ModuleType
    adapters: ModuleType
