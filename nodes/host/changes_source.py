"""What a sampling's picture is compared with: the reference, a latent of its own, or the diptych's encoded source."""

from dataclasses import dataclass
from typing import Any

import torch
from comfy.ldm.flux.model import Flux
from comfy.ldm.qwen_image.model import QwenImageTransformer2DModel
from torch import Tensor

from ...icedit_core.only_changes import tokens
from ...icedit_core.only_changes.tokens import Grid
from ...icedit_core.panels import left
from . import fill
from .changes_settings import WHO, Settings


@dataclass(frozen=True)
class Source:
    """kind: of the model; flat: (B or 1, C, H, W) in the model's scale; open: (B or 1, N) bool of the tokens that may
    change at all, None for all; mask: the person's, likewise; latent_format: the host's, of the model."""

    kind: str
    flat: Tensor
    grid: Grid
    latent_format: Any
    open: Tensor | None = None
    mask: Tensor | None = None

    @property
    def only_right(self) -> bool:
        """Whether all that may change lies in the right half, as in a diptych."""
        return self.open is not None and _only_right(self.open, self.grid)

    def unscaled(self, latent: Tensor) -> Tensor:
        """From the model's scale to the VAE's."""
        return self.latent_format.process_out(latent)

    def grid_mask(self, chosen: Tensor, latent: Tensor) -> Tensor:
        """Tokens (N,) bool as a mask (1, 1, ..., H, W) over a latent (B, C, ..., H, W)."""
        mask = tokens.to_latent(chosen[None], self.grid, latent)
        return mask.reshape(1, *[1] * (latent.ndim - 3), *latent.shape[-2:])

    def squeezed(self, latent: Tensor) -> Tensor:
        return squeezed(latent)

    def like(self, x: Tensor) -> Tensor:
        """The source for each member of x, in x's shape."""
        rows = torch.arange(len(x), device=self.flat.device) % len(self.flat)
        return self.flat[rows].reshape(x.shape).to(x)


def kind_of(model: Any) -> str:
    """fill, flux, flux2 or qwen.

    Raises:
        ValueError: another network.
    """
    network = model.model.diffusion_model
    if type(network) is QwenImageTransformer2DModel:
        return "qwen"
    if type(network) is Flux:
        if network.patch_size == 1:
            return "flux2"
        return "fill" if fill.input_channels(model) == fill.FILL_CHANNELS else "flux"
    raise ValueError(
        f"{WHO}: the model is {fill.name_of(model)} ({type(network).__module__}.{type(network).__name__}), but FLUX.1 "
        "Kontext, FLUX.2, FLUX.1 Fill or Qwen-Image-Edit in ComfyUI's own layers is needed. Bypass this node."
    )


def of_sampling(settings: Settings, model: Any, positive: list[dict], x: Tensor, latent: Tensor | None) -> Source:
    """Find the source of a sampling.

    Args:
        model: the host's MODEL.
        positive: the conditions as the host has prepared them.
        x: noise (B, C, ..., H, W).
        latent: the sampler's own, in the model's scale.
    Raises:
        ValueError: there is none of the sampled size.
    """
    kind, base = kind_of(model), model.model
    grid = tokens.grid_of(x, model.model.diffusion_model.patch_size)
    open_tokens = None
    if settings.source is not None:
        found = base.process_latent_in(settings.source["samples"].to(x.device, torch.float32))
    elif kind == "fill":
        found = latent
    else:
        found = _reference(positive)
    found = squeezed(_fitting(found, x, kind, settings.source is not None))
    if kind == "fill":
        open_tokens = _repainted(positive, grid).to(x.device)
    mask = None if settings.mask is None else _mask(settings.mask, kind, grid, open_tokens).to(x.device)
    return Source(kind, found.to(x.device, torch.float32), grid, base.latent_format, open_tokens, mask)


def unknown(model: Any, x: Tensor) -> Source:
    """For a sampling that spares nothing whatever the source: only the number of tokens counts."""
    flat = torch.zeros(1, 1, *x.shape[-2:])
    grid = tokens.grid_of(x, model.model.diffusion_model.patch_size)
    return Source(kind_of(model), flat, grid, model.model.latent_format)


def squeezed(latent: Tensor) -> Tensor:
    """(B, C, H, W) of a latent that may have one frame."""
    return latent[:, :, 0] if latent.ndim == 5 else latent


def _reference(positive: list[dict]) -> Tensor | None:
    references = [one["model_conds"]["ref_latents"].cond for one in positive if "ref_latents" in one["model_conds"]]
    return references[0][0] if references else None


def _fitting(found: Tensor | None, x: Tensor, kind: str, given: bool) -> Tensor:
    what = "the source latent" if given else "the sampled latent" if kind == "fill" else "the first reference"
    if found is None or not found.any():
        need = (
            "FLUX.1 Fill samples from the encoded picture: give the sampler the latent of InpaintModelConditioning"
            if kind == "fill"
            else "connect the encoded source by ReferenceLatent, or as this node's source"
        )
        state = "is empty" if found is not None else "is missing"
        raise ValueError(
            f"{WHO}: {what} {state}, but the sampled picture is compared with it. {need[0].upper()}{need[1:]}."
        )
    if found.ndim != x.ndim:
        found = found.unsqueeze(2) if x.ndim == 5 else squeezed(found)
    if found.shape[1:] != x.shape[1:]:
        size = " x ".join(str(side) for side in found.shape[1:])
        raise ValueError(
            f"{WHO}: {what} is {size}, but the sampled latent is {' x '.join(str(side) for side in x.shape[1:])}. "
            "Encode the source at the sampled size with the same VAE, and connect that as this node's source."
        )
    if len(x) % len(found):
        raise ValueError(
            f"{WHO}: {what} holds {len(found)} pictures, but {len(x)} are sampled. One for all or one each is needed."
        )
    return found


def _repainted(positive: list[dict], grid: Grid) -> Tensor:
    """The tokens that FLUX Fill repaints: all where nobody says."""
    masks = [one["concat_mask"] for one in positive if one.get("concat_mask") is not None]
    if not masks:
        return torch.ones(1, grid.tokens, dtype=torch.bool)
    return tokens.of_mask(masks[0].reshape(-1, *masks[0].shape[-2:]), grid).any(0, keepdim=True)


def _mask(mask: Tensor, kind: str, grid: Grid, open_tokens: Tensor | None) -> Tensor:
    """The person's mask of the picture; of a diptych it is the right panel's."""
    planes = mask.reshape(-1, *mask.shape[-2:])
    if kind == "fill" and open_tokens is not None and _only_right(open_tokens, grid):
        planes = torch.cat([torch.zeros_like(planes), planes], dim=-1)
    found = tokens.of_mask(planes, grid).any(0, keepdim=True)
    if not found.any():
        raise ValueError(f"{WHO}: the mask is empty, but it says what may change. Paint on it, or disconnect it.")
    return found


def _only_right(open_tokens: Tensor, grid: Grid) -> bool:
    columns = open_tokens.any(0).unflatten(0, grid[:2]).any(0)
    return not left(columns).any() and grid.columns % 2 == 0
