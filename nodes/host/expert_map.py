"""One model call in which the routers are watched."""

from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor

from ...icedit_core.adapters.moe import MoELoRA
from ...icedit_core.adapters.watch import watched
from ...icedit_core.expert_map import WHO, Adapter, Layer
from ...icedit_core.panels import Tokens
from ...icedit_core.pixels import covered
from . import fill
from .adapters import routings
from .run import ask_once, for_one_call, noise_of


class Seen(NamedTuple):
    """adapters: for each image of the latent; repainted: (B or 1, h, w) bool of tokens, None where nobody says."""

    adapters: list[list[Adapter]]
    repainted: Tensor | None


def look(model, positive, latent: dict[str, Any], sigma: float, seed: int) -> Seen:
    """Call the model once, as a sampler does at `sigma`, and keep what its routers decide.

    Args:
        model: the host's MODEL with an adapter that has experts.
        latent: what is noised to `sigma`, as a KSampler takes it; its mask counts.
        sigma: the sampler's noise level.
    Raises:
        ValueError: not FLUX.1 Fill or its VAE, no adapter with experts, or no routers were asked about image tokens.
    """
    fill.require(model, WHO)
    fill.check(model, positive, latent, WHO)
    found = _in_order(model)
    recipe, image, grid = for_one_call(model, positive, latent)
    calls: list[Tokens] = []

    def count(streams: dict[str, Any]) -> dict[str, Any]:
        calls.append(Tokens(streams["txt"].shape[1], streams["img"].shape[1], grid))
        return streams

    recipe.model.set_model_patch(count, "post_input")
    layers = [layer for _, modules in found for several in modules.values() for layer in several]
    with watched(layers) as seen:
        ask_once(recipe, noise_of(recipe, image, seed), image, sigma, seed)
    if not calls or not all(seen.values()):
        raise ValueError(
            f"{WHO}: {type(model.model).__name__} did not call all layers of the adapter at sigma {sigma:g}, but they "
            "are needed. Use FLUX, a conditioning that is in force at this sigma, and no node that skips blocks."
        )
    per_image = [
        [Adapter(name, _layers(modules, seen, calls[0], index)) for name, modules in found]
        for index in range(len(image))
    ]
    return Seen(per_image, _repainted(positive, latent, grid))


def _in_order(model) -> list[tuple[str, dict[str, list[MoELoRA]]]]:
    """`routings`, their modules in the order of the network."""
    found = routings(model)
    if not found:
        raise ValueError(
            f"{WHO}: this model has no adapter with experts, but one is needed. Load a MoE-LoRA with ICEdit Load LoRA, "
            "at a strength other than 0."
        )
    order = {name: place for place, (name, _) in enumerate(model.model.diffusion_model.named_modules())}
    return [(name, dict(sorted(modules.items(), key=lambda item: order[item[0]]))) for name, modules in found]


def _layers(modules, seen, tokens: Tokens, index: int) -> tuple[Layer, ...]:
    """The maps of one adapter for one image; layers that see no image tokens have none."""
    layers = []
    for module, several in modules.items():
        for layer in several:
            gates = seen[layer][0]
            part = tokens.of_image(module, gates.shape[1] if gates.ndim == 3 else 0)
            if part is not None:
                layers.append(Layer(module, gates[index, part].unflatten(0, tokens.grid)))
    return tuple(layers)


def _repainted(positive, latent: dict[str, Any], grid: tuple[int, int]) -> Tensor | None:
    """Which tokens hold anything that is repainted: by the latent's mask, else by the conditioning's."""
    mask = latent.get("noise_mask")
    if mask is None:
        mask = positive[0][1].get("concat_mask")
    if mask is None:
        return None
    planes = mask.reshape(-1, 1, *mask.shape[-2:]).float().cpu()
    return covered(F.adaptive_max_pool2d(planes, grid)[:, 0])
