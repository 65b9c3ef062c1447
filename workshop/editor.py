"""The demo's base model: a small FLUX Fill in diffusers' layout, and its sampler."""

import itertools

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor

from icedit_core.panels import image_ids, pack, unpack
from icedit_core.training.objective import condition
from icedit_core.training.validation import schedule

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
