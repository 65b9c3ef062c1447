"""What ICEdit Restore says about its result: how much changed, and the likely causes where an edit went wrong."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from .layout import Layout

EVERYTHING = 0.99  # share of the picture from which on it is another one
CELL = 16  # px whose mean colour is compared: an autoencoder errs in fine detail, a wrong one in the colours
LOST = (
    0.1  # RMS of those means, RGB in [0, 1]: the demo's VAE is below 0.032 on photographs and noise, scenes below 0.01
)

_UNCHANGED = (
    "Nothing was changed: the right panel shows the source. If the KSampler's denoise is below 1, set it to 1; if "
    "ICEdit's LoRA is not loaded, load it. Else try another seed or clearer words."
)
_OTHER_PICTURE = (
    "Nothing of the source was kept. Right for a new style or background; else the model painted another picture. "
    "Likely causes, the first ones first: a model that is not FLUX.1 Fill (connect it to ICEdit Diptych's model, which "
    "looks); ICEdit's LoRA not loaded, or the sampler connected to the model without it; a VAE that is not FLUX.1's "
    "ae.safetensors; cfg above 1 in the KSampler; a prompt that is not ICEdit Prompt's. If all that is right: another "
    "seed, words that name what the picture shows, or a mask for ICEdit Diptych."
)
_LEFT_LOST = (
    "The left panel does not show the source, though nothing should be painted there. Likely causes: the VAE that "
    "decodes is not the one that encodes, or not FLUX.1's ae.safetensors; ICEdit Diptych's mask is not connected to "
    "InpaintModelConditioning; a latent other than InpaintModelConditioning's was sampled, or its noise_mask is off "
    "and the model is not FLUX.1 Fill."
)


def left_error(left: Tensor, source: Tensor) -> float:
    """RMS of the mean colours of `left` (1, h, w, 3) against what it should show."""
    size = (max(1, left.shape[1] // CELL), max(1, left.shape[2] // CELL))
    means = [F.adaptive_avg_pool2d(panel.movedim(-1, 1), size) for panel in (left, source)]
    return float((means[0] - means[1]).square().mean().sqrt())


def _changed(said: list[str]) -> str:
    """How much of each picture changed, said once where it is the same."""
    if len(said) > 1 and len(set(said)) == 1:
        return f"Changed: {said[0]} of each of the {len(said)} pictures."
    return f"Changed: {', '.join(said[:8])}{' ...' if len(said) > 8 else ''} of the picture{'s' * (len(said) > 1)}."


def notes(changed: Tensor, left_errors: Sequence[float], layout: Layout, keep: str) -> list[str]:
    """Sentences for the user.

    Args:
        changed: (N, H, W), 0 = the original.
        left_errors: `left_error` of each diptych.
        keep: as in `Edge`.
    """
    shares = (changed > 0).flatten(1).float().mean(1)
    said = [f"{share:.1%}".replace("%", " %") for share in shares.tolist()]
    found = [layout.warning] if layout.warning else []
    found.append(_changed(said))
    if shares.min() == 0:
        found.append(_UNCHANGED)
    if max(left_errors) > LOST:
        found.append(_LEFT_LOST)
    elif not layout.warning and keep != "off" and layout.mask is None and shares.max() >= EVERYTHING:
        found.append(_OTHER_PICTURE)
    if len(changed) > (sources := len(layout.image)) > 1:
        found.append(f"{len(changed)} candidates of {sources} sources: candidate i belongs to source i % {sources}.")
    return found
