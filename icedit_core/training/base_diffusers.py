"""FLUX.1 Fill in diffusers' folder layout as a base.

Latents are the mean of the autoencoder's distribution, as the host takes it; the published training draws a sample of
it. The condition is the latent of source | 0.5, in diffusers' terms image * (1 - mask) on [-1, 1].
Source: diffusers' FluxFillPipeline; River-Zhang/ICEdit, train/src/flux/pipeline_tools.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..foreign import line
from ..plain_files import read_json
from .data.rows import file_identity, hash_of
from .parts import LATENT_CHANNELS, LATENT_PIXELS, Parts

T5_TOKENS = 512  # the published training pads to this
CLIP_TOKENS = 77  # longer prompts are cut for the pooled vector, as the pipeline does
GUIDANCE = 1.0  # as in the published training; sampling uses 50
FILL_CHANNELS = 384  # tokens of 4 x (16 noisy + 16 given + 64 mask)
HERE: Any = {"local_files_only": True, "use_safetensors": True}  # of weights: nothing fetched, nothing unpickled
FOLDERS = ("transformer", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")


def parts(folder: Path) -> Parts:
    """How to load FLUX Fill from `folder`.

    Raises:
        ValueError: parts are missing, or it is another model.
    """
    if missing := [name for name in FOLDERS if not (folder / name).is_dir()]:
        raise ValueError(
            f"base model: {folder} has no {', '.join(missing)}, but FLUX.1-Fill-dev in diffusers' layout is needed, "
            "with all its folders. Download the whole repository once and name its folder, or name demo/weights of the "
            "pack for the demo model."
        )
    config = _flux_config(folder)
    identities = {name: _identity(folder / name) for name in FOLDERS}
    encoders = hash_of(*(identities[name] for name in FOLDERS[1:]), str(T5_TOKENS))
    return Parts(
        config=config,
        transformer=lambda dtype, device: _transformer(folder, dtype, device),
        autoencoder=lambda dtype, device: FluxAutoencoder(folder, dtype, device),
        tokens=lambda: FluxTokens(folder),
        texts=lambda dtype, device: FluxTexts(folder, dtype, device),
        guidance=GUIDANCE,
        text_tokens=T5_TOKENS,
        encoders=f"flux-{encoders}",
        identity=f"flux-{hash_of(*identities.values(), encoders)}",
    )


def _flux_config(folder: Path) -> dict[str, Any]:
    path = folder / "transformer" / "config.json"
    try:
        config = read_json(path)
    except ValueError as error:
        raise ValueError(f"base model: {path} cannot be read ({error}), but it is needed. Download it again.") from None
    kind, channels = config.get("_class_name"), config.get("in_channels")
    if kind != "FluxTransformer2DModel" or channels != FILL_CHANNELS:
        raise ValueError(
            f"base model: {path} says {line(kind)} with {line(channels)} input channels, but FLUX Fill "
            f"(FluxTransformer2DModel with {FILL_CHANNELS}) is needed. Name the folder of FLUX.1-Fill-dev."
        )
    return {key: value for key, value in config.items() if not key.startswith("_")}


def _identity(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hash_of(*(f"{path.relative_to(folder).as_posix()} {file_identity(path)}" for path in files))


def _transformer(folder: Path, dtype: torch.dtype, device: torch.device) -> torch.nn.Module:
    from diffusers import FluxTransformer2DModel

    model = FluxTransformer2DModel.from_pretrained(folder, subfolder="transformer", torch_dtype=dtype, **HERE)
    return model.to(device)


class FluxAutoencoder:
    """diffusers' `AutoencoderKL`; latents are (mean - shift) * factor."""

    def __init__(self, folder: Path, dtype: torch.dtype, device: torch.device):
        from diffusers import AutoencoderKL

        model = AutoencoderKL.from_pretrained(folder, subfolder="vae", torch_dtype=dtype, **HERE)
        cells = 2 ** (len(model.config.block_out_channels) - 1)
        if (model.config.latent_channels, cells) != (LATENT_CHANNELS, LATENT_PIXELS):
            raise ValueError(
                f"base model: the autoencoder makes {model.config.latent_channels} channels of {cells}x{cells} px, but "
                f"FLUX has {LATENT_CHANNELS} of {LATENT_PIXELS}x{LATENT_PIXELS}. Name the folder of FLUX.1-Fill-dev."
            )
        self._model = _frozen(model, device)
        self._factor, self._shift = model.config.scaling_factor, model.config.shift_factor

    def encode(self, images: Tensor) -> Tensor:
        return (self._model.encode(images * 2 - 1).latent_dist.mode() - self._shift) * self._factor

    def decode(self, latents: Tensor) -> Tensor:
        return self._model.decode(latents / self._factor + self._shift).sample / 2 + 0.5


class FluxTokens:
    """The folder's two tokenizers."""

    def __init__(self, folder: Path):
        from transformers import CLIPTokenizer, T5TokenizerFast  # type: ignore[attr-defined]

        self._t5 = T5TokenizerFast.from_pretrained(folder / "tokenizer_2", local_files_only=True)
        self._clip = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)

    def problem(self, prompt: str) -> str | None:
        count = len(self._t5(prompt)["input_ids"])
        return f"has {count} tokens, but at most {T5_TOKENS} are read" if count > T5_TOKENS else None

    def t5(self, prompts: list[str]) -> Tensor:
        return self._t5(prompts, padding="max_length", max_length=T5_TOKENS, return_tensors="pt").input_ids

    def clip(self, prompts: list[str]) -> Tensor:
        how: Any = {"padding": "max_length", "max_length": CLIP_TOKENS, "truncation": True, "return_tensors": "pt"}
        return self._clip(prompts, **how).input_ids


class FluxTexts:
    """T5 and CLIP-L; the pipeline masks no padding."""

    def __init__(self, folder: Path, dtype: torch.dtype, device: torch.device):
        from transformers import CLIPTextModel, T5EncoderModel

        self._tokens, self._device = FluxTokens(folder), device
        options: Any = {"dtype": dtype, **HERE}
        self._t5 = _frozen(T5EncoderModel.from_pretrained(folder / "text_encoder_2", **options), device)
        self._clip = _frozen(CLIPTextModel.from_pretrained(folder / "text_encoder", **options), device)

    def encode(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        states = self._t5(input_ids=self._tokens.t5(prompts).to(self._device)).last_hidden_state
        return states, self._clip(input_ids=self._tokens.clip(prompts).to(self._device)).pooler_output


def _frozen(model: Any, device: torch.device) -> Any:
    return model.to(device).requires_grad_(False).eval()
