"""How far the host's arithmetic is from the training's, on the exported files."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from demo import scenes

from . import autoencoder, editor, text
from .host_model import HostModel


def _read(weights: Path, name: str) -> dict[str, torch.Tensor]:
    return {k: v.float() for k, v in load_file(weights / f"icedit_demo_{name}.safetensors").items()}


@torch.no_grad()
def differences(host: HostModel, weights: Path, count: int = 8) -> dict[str, float]:
    """Largest absolute differences: token ids, T5 states, velocity, latents and pictures.

    Raises:
        ValueError: the host's tokens are not the ones trained on.
    """
    examples = scenes.unseen(count)
    instructions = [e.instruction for e in examples]
    tokenizer, t5, flux = text.Tokenizer(), text.build(text.VOCABULARY), editor.build()
    t5.load_state_dict(_read(weights, "t5"), strict=False)
    flux.load_state_dict(_read(weights, "fill"))
    ids = torch.tensor([[tokenizer.ids[row] for row in rows] for rows in tokenizer.in_context(instructions).tolist()])
    prompts = [text.IC_TEMPLATE.format(instruction=i) for i in instructions]
    theirs = torch.tensor([[token for token, _ in host.clip.tokenize(p)["t5xxl"][0]] for p in prompts])
    if not torch.equal(ids, theirs):
        raise ValueError("demo parity: got other T5 tokens from the host, but training's are needed. Train again.")
    states = t5(input_ids=ids).last_hidden_state
    found = {"t5_states": states - host.conditioning(instructions)[0][0]}
    grey = autoencoder.diptychs([e.source for e in examples], None)
    coder = autoencoder.TinyAutoencoder()
    coder.load_state_dict({k: v for k, v in _read(weights, "vae").items() if k in coder.state_dict()})
    latent = coder.encode(grey)
    found["latents"] = latent - (host.vae.encode(grey.permute(0, 2, 3, 1).contiguous()) - 0.1159) * 0.3611
    raw = latent / autoencoder.VAE_SCALE + autoencoder.VAE_SHIFT
    found["pictures"] = coder.decode(latent).clamp(0, 1) - host.vae.decode(raw).permute(0, 3, 1, 2)
    found["velocity"] = _velocity(flux, latent, states) - host.velocity(noise_of(latent), latent, states)
    return {name: float(f"{difference.abs().max().item():.1e}") for name, difference in found.items()}


def noise_of(latent: torch.Tensor) -> torch.Tensor:
    return torch.randn(latent.shape, generator=torch.Generator().manual_seed(0))


def _velocity(flux, masked: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    h, w = masked.shape[-2:]
    t = torch.full((len(masked),), 0.7)
    noise = editor.pack(noise_of(masked))
    return editor.unpack(
        editor.velocity(flux, noise, editor.condition(masked), states, t, editor.image_ids(h, w)), h, w
    )
