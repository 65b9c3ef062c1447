"""Previews while sampling: of a diptych the right panel alone, at its own aspect.

The host makes a preview of all of the latent and offers no choice, so a MODEL of ours brings a wrapper around the
sampling, which hands the host's own callback half of the picture. Nothing of the host is changed, a MODEL without the
wrapper previews as always, and a callback that is not the host's own is left alone.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import latent_preview
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...icedit_core.panels import right, right_alone

KEY = "icedit_previews"


def show_right_panel(model: ModelPatcher) -> ModelPatcher:
    """Let `model`, which must be the caller's own clone, preview diptychs by their right panel."""
    model.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, KEY)  # a clone of ours has it already
    model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, _sampling)
    return model


def is_diptych(conditions: Iterable[Mapping[str, Any]], noise_mask: Tensor | None) -> bool:
    """Whether all that is repainted lies in the right half.

    Args:
        conditions: the values of the positive conditioning; FLUX Fill's hold the mask.
        noise_mask: of the latent, asked where they hold none.
    """
    masks = [one["concat_mask"] for one in conditions if one.get("concat_mask") is not None]
    if not masks and noise_mask is not None:
        masks = [noise_mask]
    return bool(masks) and all(right_alone(mask) for mask in masks)


def panel_callback(model: ModelPatcher, steps: int) -> Callable:
    """The host's callback for a sampling of diptychs: progress, and a preview of the right panel."""
    show = latent_preview.prepare_callback(model, steps)
    return lambda step, x0, x, total: show(step, right(x0), x, total)


def _sampling(executor, noise, latent_image, sampler, sigmas, denoise_mask=None, callback=None, *rest, **more):
    """The host's `outer_sample` with another preview."""
    guider = executor.class_obj
    if not (_from_host(callback) and is_diptych(guider.conds.get("positive", ()), denoise_mask)):
        return executor(noise, latent_image, sampler, sigmas, denoise_mask, callback, *rest, **more)
    show = panel_callback(guider.model_patcher, len(sigmas) - 1)
    last: list[tuple] = []

    def shown(step, x0, x, total):
        last[:] = [(step, x0, x, total)]
        show(step, x0, x, total)

    result = executor(noise, latent_image, sampler, sigmas, denoise_mask, shown, *rest, **more)
    for call in last:
        # The host's callback may keep the last estimate, an output of SamplerCustom: it gets it whole.
        callback(*call)
        show(*call)
    return result


def _from_host(callback: Callable | None) -> bool:
    return getattr(callback, "__module__", None) == latent_preview.__name__
