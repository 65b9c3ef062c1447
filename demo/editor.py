"""The demo's editor: a small FLUX Fill in diffusers' layout, its packing and its sampler."""

import itertools
import math

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor

GUIDANCE = 50.0
HIDDEN, HEADS = 256, 2
TEXT_WIDTH, POOLED_WIDTH = 64, 32


def build() -> FluxTransformer2DModel:
    """9.3 M parameters; gates start at 0.5, the output at 0, guidance and pooled text are without effect."""
    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=384,
        out_channels=64,
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=HIDDEN // HEADS,
        num_attention_heads=HEADS,
        joint_attention_dim=TEXT_WIDTH,
        pooled_projection_dim=POOLED_WIDTH,
        guidance_embeds=True,
        axes_dims_rope=(16, 56, 56),
    )
    with torch.no_grad():
        for block in model.transformer_blocks:
            for norm in (block.norm1, block.norm1_context):
                _open_gates(norm.linear, parts=6, gates=(2, 5))
        for block in model.single_transformer_blocks:
            _open_gates(block.norm.linear, parts=3, gates=(2,))
        for linear in (model.norm_out.linear, model.proj_out):
            linear.weight.zero_()
            linear.bias.zero_()
        for path in (model.time_text_embed.guidance_embedder, model.time_text_embed.text_embedder):
            path.linear_2.weight.zero_()
            path.linear_2.bias.zero_()
            path.requires_grad_(False)
    return model


def _open_gates(linear: torch.nn.Linear, parts: int, gates: tuple[int, ...]) -> None:
    torch.nn.init.normal_(linear.weight, std=0.01)
    linear.bias.zero_()
    for part, chunk in enumerate(linear.bias.chunk(parts)):
        if part in gates:
            chunk.fill_(0.5)


def pack(latent: Tensor) -> Tensor:
    """(B, C, H, W) to tokens (B, H/2 * W/2, 4C), each (channel, row, column) as FLUX has it."""
    b, c, h, w = latent.shape
    return latent.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h // 2 * (w // 2), c * 4)


def unpack(tokens: Tensor, h: int, w: int) -> Tensor:
    """The inverse of `pack`; h and w of the latent."""
    b, _, c = tokens.shape
    return tokens.view(b, h // 2, w // 2, c // 4, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(b, c // 4, h, w)


def image_ids(h: int, w: int) -> Tensor:
    """(H/2 * W/2, 3) row and column of every token."""
    rows, columns = torch.meshgrid(torch.arange(h // 2), torch.arange(w // 2), indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3).float()


def condition(masked: Tensor, mask: Tensor | None = None) -> Tensor:
    """Tokens of the masked latent (B, 16, H, W) and of the mask (B, 1, H, W), (B, N, 320).

    Without a mask the right half is to be painted.
    """
    if mask is None:
        mask = torch.zeros_like(masked[:, :1])
        mask[..., mask.shape[-1] // 2 :] = 1
    return pack(torch.cat([masked, mask.expand(-1, 64, -1, -1)], dim=1))


def velocity(model, tokens: Tensor, given: Tensor, text: Tensor, t: Tensor, ids: Tensor) -> Tensor:
    """The model's v = noise - image for noisy tokens (B, N, 64) at t (B,) in [0, 1]."""
    return model(
        hidden_states=torch.cat([tokens, given], dim=-1),
        encoder_hidden_states=text,
        pooled_projections=torch.zeros(len(tokens), POOLED_WIDTH),
        timestep=t,
        guidance=torch.full((len(tokens),), GUIDANCE),
        img_ids=ids,
        txt_ids=torch.zeros(text.shape[1], 3),
        return_dict=False,
    )[0]


def schedule(steps: int, tokens: int) -> list[float]:
    """The published pipeline's sigmas, steps + 1 of them, falling from 1 to 0."""
    mu = 0.5 + (1.15 - 0.5) * (tokens - 256) / (4096 - 256)
    spaced = torch.linspace(1, 1 / steps, steps, dtype=torch.float64).tolist()
    return [math.exp(mu) / (math.exp(mu) + 1 / s - 1) for s in spaced] + [0.0]


@torch.no_grad()
def sample(model, masked: Tensor, text: Tensor, steps: int, seed: int) -> Tensor:
    """Euler from noise to latents (B, 16, H, W)."""
    b, c, h, w = masked.shape
    noise = torch.randn(b, c, h, w, generator=torch.Generator().manual_seed(seed))
    x, given, ids = pack(noise), condition(masked), image_ids(h, w)
    sigmas = schedule(steps, x.shape[1])
    for now, following in itertools.pairwise(sigmas):
        x = x + (following - now) * velocity(model, x, given, text, torch.full((b,), now), ids).float()
    return unpack(x, h, w)
