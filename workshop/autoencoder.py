"""The demo's autoencoder: TAESD's layout (16 latent channels) with most blocks left out while training.

A block that is left out is `relu(x)`: exported as zero convolutions it is exactly that in TAESD, so the file has
TAESD's full layout and the stock loader reads it.
"""

import torch
from torch import Tensor, nn

LATENT_CHANNELS = 16
WIDTH = 64
VAE_SCALE, VAE_SHIFT = 0.3611, 0.1159  # cancel the FLUX latent format
ENCODER_ACTIVE = (4, 8, 9, 11, 12, 13)
DECODER_ACTIVE = (3, 4, 5, 8, 9, 10, 13, 14, 15)


def _conv(n_in: int, n_out: int, **kwargs) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, 3, padding=1, **kwargs)


class _Clamp(nn.Module):
    def forward(self, x):
        return torch.tanh(x / 3) * 3


class Block(nn.Module):
    """TAESD's residual block."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(_conv(WIDTH, WIDTH), nn.ReLU(), _conv(WIDTH, WIDTH), nn.ReLU(), _conv(WIDTH, WIDTH))
        nn.init.zeros_(self.conv[4].weight)
        nn.init.zeros_(self.conv[4].bias)

    def forward(self, x):
        return torch.relu(self.conv(x) + x)


def _layers(plan: str, active: tuple[int, ...]) -> nn.Sequential:
    """`plan`: one letter a layer; b block, d downscaling, u upscaling, c convolution after u, and the ends."""
    make = {
        "i": lambda: _conv(3, WIDTH),
        "o": lambda: _conv(WIDTH, 3),
        "l": lambda: _conv(WIDTH, LATENT_CHANNELS),
        "m": lambda: _conv(LATENT_CHANNELS, WIDTH),
        "d": lambda: _conv(WIDTH, WIDTH, stride=2, bias=False),
        "c": lambda: _conv(WIDTH, WIDTH, bias=False),
        "u": lambda: nn.Upsample(scale_factor=2),
        "k": _Clamp,
        "r": nn.ReLU,
    }
    return nn.Sequential(
        *(make[p]() if p != "b" else (Block() if i in active else nn.ReLU()) for i, p in enumerate(plan))
    )


class TinyAutoencoder(nn.Module):
    """Images (B, 3, H, W) in [0, 1] to latents (B, 16, H/8, W/8) of unit deviation, and back."""

    def __init__(self):
        super().__init__()
        self.taesd_encoder = _layers("ibdbbbdbbbdbbbl", ENCODER_ACTIVE)
        self.taesd_decoder = _layers("kmrbbbucbbbucbbbucbo", DECODER_ACTIVE)

    def encode(self, image: Tensor) -> Tensor:
        return self.taesd_encoder(image)

    def decode(self, latent: Tensor) -> Tensor:
        return self.taesd_decoder(latent)


def full_state_dict(model: TinyAutoencoder) -> dict[str, Tensor]:
    """The weights in TAESD's full layout: blocks that were left out become zero convolutions."""
    state = {key: value.detach().float().contiguous().clone() for key, value in model.state_dict().items()}
    for part, plan in (("taesd_encoder", "ibdbbbdbbbdbbbl"), ("taesd_decoder", "kmrbbbucbbbucbbbucbo")):
        for i, letter in enumerate(plan):
            if letter == "b" and f"{part}.{i}.conv.0.weight" not in state:
                for j in (0, 2, 4):
                    state[f"{part}.{i}.conv.{j}.weight"] = torch.zeros(WIDTH, WIDTH, 3, 3)
                    state[f"{part}.{i}.conv.{j}.bias"] = torch.zeros(WIDTH)
    state["vae_scale"], state["vae_shift"] = torch.tensor(VAE_SCALE), torch.tensor(VAE_SHIFT)
    return state


def to_tensor(images) -> Tensor:
    """A list of (H, W, 3) arrays to (B, 3, H, W), channels last."""
    return torch.stack([torch.from_numpy(i) for i in images]).permute(0, 3, 1, 2)


def diptychs(left, right) -> Tensor:
    """Pairs of (H, W, 3) arrays side by side, (B, 3, H, 2W); `right` None is mid-grey."""
    sides = to_tensor(left)
    other = torch.full_like(sides, 0.5) if right is None else to_tensor(right)
    return torch.cat([sides, other], dim=3)
