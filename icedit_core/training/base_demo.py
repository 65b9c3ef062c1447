"""The demo model as a base: its files through plain torch, diffusers and transformers, with the host's numbers.

The folder holds icedit_demo_{fill,vae,t5}.safetensors and config.json. The T5 tokenizer is handed in.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .data.rows import file_identity, hash_of
from .parts import LATENT_CHANNELS, Parts

FLUX_FACTOR, FLUX_SHIFT = 0.3611, 0.1159  # the host's latent format of FLUX: (latent - shift) * factor
AXES = (16, 56, 56)  # FLUX's rotary axes: the one size that its weights do not show
FILES = ("fill", "vae", "t5")


def is_here(folder: Path) -> bool:
    """Are the demo's files in `folder`?"""
    return _file(folder, "fill").is_file()


def parts(folder: Path, tokenizer: Path | None) -> Parts:
    """How to load the demo model from `folder`.

    Args:
        tokenizer: folder of the T5 tokenizer, whose tokenizer.json is read.
    Raises:
        ValueError: files are missing.
    """
    files = {name: _file(folder, name) for name in FILES}
    missing = [path.name for path in (*files.values(), folder / "config.json") if not path.is_file()]
    if missing:
        raise ValueError(
            f"demo model: {folder} has no {', '.join(missing)}, but the demo's files are needed there. "
            "Name the folder demo/weights of the pack."
        )
    if tokenizer is None or not (tokenizer / "tokenizer.json").is_file():
        got = f"{tokenizer} without a tokenizer.json" if tokenizer else "no tokenizer"
        raise ValueError(
            f"demo model: got {got}, but T5's tokenizer is needed. "
            "Name the folder comfy/text_encoders/t5_tokenizer of a ComfyUI: [model] tokenizer."
        )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    identities = {name: file_identity(path, path.stat().st_size) for name, path in files.items()}
    length, words = config["t5_min_length"], file_identity(tokenizer / "tokenizer.json")
    encoders = hash_of(identities["vae"], identities["t5"], words, str(length))
    flux = transformer_config(_shapes(_file(folder, "fill")))
    return Parts(
        config=flux,
        transformer=lambda dtype, device: _transformer(folder, flux, dtype, device),
        autoencoder=lambda dtype, device: DemoAutoencoder(_file(folder, "vae"), dtype, device),
        tokens=lambda: DemoTokens(tokenizer, length),
        texts=lambda dtype, device: DemoTexts(
            DemoTokens(tokenizer, length),
            _t5(config["model_options"]["t5xxl_model_config"], _load(_file(folder, "t5"))).to(device, dtype).eval(),
            flux["pooled_projection_dim"],
        ),
        guidance=float(config["guidance"]),
        text_tokens=length,
        encoders=f"demo-{encoders}",
        identity=f"demo-{hash_of(*identities.values(), encoders, str(config['guidance']))}",
    )


def transformer_config(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """The arguments of `FluxTransformer2DModel`, from the shapes of its weights."""
    hidden, channels = shapes["x_embedder.weight"]
    head = shapes["single_transformer_blocks.0.attn.norm_q.weight"][0]
    embedders = "time_text_embed.{}_embedder.linear_1.weight"
    return {
        "patch_size": 1,
        "in_channels": channels,
        "out_channels": shapes["proj_out.weight"][0],
        "num_layers": _count(shapes, "transformer_blocks."),
        "num_single_layers": _count(shapes, "single_transformer_blocks."),
        "attention_head_dim": head,
        "num_attention_heads": hidden // head,
        "joint_attention_dim": shapes["context_embedder.weight"][1],
        "pooled_projection_dim": shapes[embedders.format("text")][1],
        "guidance_embeds": embedders.format("guidance") in shapes,
        "axes_dims_rope": AXES,
    }


def _count(shapes: dict[str, tuple[int, ...]], prefix: str) -> int:
    return 1 + max(int(key.removeprefix(prefix).split(".")[0]) for key in shapes if key.startswith(prefix))


def _transformer(folder: Path, config: dict[str, Any], dtype: torch.dtype, device: torch.device) -> torch.nn.Module:
    from diffusers import FluxTransformer2DModel

    model: Any = FluxTransformer2DModel(**config)
    model.load_state_dict(_load(_file(folder, "fill")))
    return _placed(model, dtype, device)


def _placed(model: Any, dtype: torch.dtype, device: torch.device) -> Any:
    """torch's own `to`: diffusers' warns that an empty list of modules would be cast."""
    to: Any = torch.nn.Module.to
    return to(model, device, dtype)


class DemoAutoencoder:
    """The TAESD with 16 latent channels, in diffusers' `AutoencoderTiny`.

    The file gives latents as the host has them outside the model, l = taesd / scale + shift; the transformer takes
    (l - FLUX_SHIFT) * FLUX_FACTOR.
    """

    def __init__(self, file: Path, dtype: torch.dtype, device: torch.device):
        from diffusers import AutoencoderTiny

        state = _load(file)
        self._scale, self._shift = state.pop("vae_scale").item(), state.pop("vae_shift").item()
        blocks = {"encoder_block_out_channels": (64,) * 4, "decoder_block_out_channels": (64,) * 4}
        model: Any = AutoencoderTiny(latent_channels=LATENT_CHANNELS, **blocks)
        model.load_state_dict({_tiny_key(key): value for key, value in state.items()})
        for coder in (model.encoder, model.decoder):
            _skip_idle_blocks(coder.layers)
        self._model = _placed(model, dtype, device).to(memory_format=torch.channels_last).requires_grad_(False).eval()

    def encode(self, images: Tensor) -> Tensor:
        latents = self._model.encode(images * 2 - 1).latents
        return (latents / self._scale + self._shift - FLUX_SHIFT) * FLUX_FACTOR

    def decode(self, latents: Tensor) -> Tensor:
        raw = (latents / FLUX_FACTOR + FLUX_SHIFT - self._shift) * self._scale
        return self._model.decode(raw).sample / 2 + 0.5


def _skip_idle_blocks(layers: torch.nn.Sequential) -> None:
    """Blocks whose last convolution is zero are relu(x); without them the demo encodes three times as fast."""
    for i, block in enumerate(layers):
        last = getattr(block, "conv", [None])[-1]  # type: ignore[index]
        if last is not None and not any(weight.any() for weight in last.parameters()):
            layers[i] = torch.nn.ReLU()


def _tiny_key(key: str) -> str:
    """TAESD's name of a weight to diffusers'; its decoder counts the clamp at the start as a layer."""
    part, layer, rest = key.split(".", 2)
    if part == "taesd_encoder":
        return f"encoder.layers.{layer}.{rest}"
    return f"decoder.layers.{int(layer) - 1}.{rest}"


class DemoTokens:
    """The T5 tokenizer in a folder."""

    def __init__(self, tokenizer: Path, length: int):
        from transformers import T5TokenizerFast  # type: ignore[attr-defined]

        self.length = length
        self._t5 = T5TokenizerFast.from_pretrained(tokenizer, local_files_only=True)

    def problem(self, prompt: str) -> str | None:
        count = len(self._t5(prompt)["input_ids"])
        return f"has {count} tokens, but the model was trained with {self.length}" if count > self.length else None

    def t5(self, prompts: list[str]) -> Tensor:
        """(B, length) ids, padded with 0 as the host does."""
        rows = [self._t5(prompt)["input_ids"] for prompt in prompts]
        return torch.tensor([row + [0] * (self.length - len(row)) for row in rows])


class DemoTexts:
    """The demo's small T5; the host masks no padding, so neither does this. Its CLIP-L gives zeros in the host."""

    def __init__(self, tokens: DemoTokens, t5: Any, pooled_width: int):
        self._tokens, self._t5, self._pooled_width = tokens, t5, pooled_width

    def encode(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        states = self._t5(input_ids=self._tokens.t5(prompts).to(self._t5.device)).last_hidden_state
        return states, states.new_zeros(len(prompts), self._pooled_width)


def _t5(sizes: dict[str, Any], state: dict[str, Tensor]) -> Any:
    from transformers import T5Config, T5EncoderModel

    gated = f"gated-{sizes['dense_act_fn'].removesuffix('_pytorch_tanh')}"
    kept = {key: sizes[key] for key in ("d_model", "d_kv", "num_heads", "d_ff", "num_layers", "vocab_size")}
    model = T5EncoderModel(T5Config(**kept, feed_forward_proj=gated, dropout_rate=0.0))
    model.load_state_dict({**state, "encoder.embed_tokens.weight": state["shared.weight"]})
    return model


def _file(folder: Path, name: str) -> Path:
    return folder / f"icedit_demo_{name}.safetensors"


def _load(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return {key: value.float() for key, value in load_file(file).items()}


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return {key: tuple(opened.get_slice(key).get_shape()) for key in opened.keys()}
