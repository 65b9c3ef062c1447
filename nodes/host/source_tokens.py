"""Source tokens as X2Edit reads them: behind the noise, some rows further down, modulated at t = 0.

ComfyUI brings the source into the sequence by its reference latents. Its method "index_timestep_zero" modulates them
at t = 0, but as FLUX.2 does, whose blocks share their modulation. On FLUX.1 every block has its own, so the modulations
are overridden for the length of a call. The modulated halves stay two vectors: no tensor per token is made.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor, nn

from ...icedit_core.adapters.attach import Forward, Overrides
from ...icedit_core.x2edit import sizes

KEY = "icedit_x2_source"
METHOD = "index_timestep_zero"
PIXELS = 8  # a latent pixel's side in pixels


def read_source(model: ModelPatcher, who: str) -> None:
    """Let `model`, which must be the caller's own clone of a FLUX.1, read its reference latent as X2Edit does."""
    model.remove_wrappers_with_key(WrappersMP.APPLY_MODEL, KEY)  # a clone of ours has it already
    model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, _Call(who))


class _Call:
    """The host's `apply_model` with the source tokens' positions and modulation."""

    def __init__(self, who: str):
        self.who = who
        self.overrides: Overrides | None = None

    def __call__(self, executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **more):
        network = executor.class_obj.diffusion_model
        source = self._source(more.get("ref_latents"))
        if self.overrides is None:
            self.overrides = _modulations(network)
        for name in ("y", "guidance"):  # the host doubles the time alone: t of the noise, then 0 of the source
            if more.get(name) is not None:
                more[name] = torch.cat([more[name]] * 2)
        more["ref_latents_method"] = METHOD
        options = dict(transformer_options or {})
        patches = dict(options.get("patches", {}))
        tokens = -(-x.shape[-2] // network.patch_size) * -(-x.shape[-1] // network.patch_size)
        rows = sizes.row_offset(PIXELS * source.shape[-2], PIXELS * source.shape[-1])
        patches["post_input"] = [_moved(tokens, rows), *patches.get("post_input", [])]
        options["patches"] = patches
        with self.overrides.on(network):
            return executor(x, t, c_concat, c_crossattn, control, options, **more)

    def _source(self, latents: list[Tensor] | None) -> Tensor:
        if not latents or len(latents) > 1:
            raise ValueError(
                f"{self.who}: a conditioning has {len(latents or ())} reference latents, but X2Edit reads exactly one, "
                "the source. Encode the source with FLUX.1's VAE and connect it by ReferenceLatent to the positive "
                "conditioning; where cfg is above 1, to the negative one too."
            )
        return latents[0]


@lru_cache(maxsize=64)
def _moved(tokens: int, rows: int) -> Callable[[dict], dict]:
    """A patch of the host's inputs that moves what follows the noise's tokens so many rows down, to the noise's index.

    It is made once, so torch.compile sees the same callable at every step.
    """

    def moved(inputs: dict) -> dict:
        ids = inputs["img_ids"].clone()  # (B, noise and source tokens, 3): index, row, column
        ids[:, tokens:, 0] = ids[:, :1, 0]
        ids[:, tokens:, 1] += rows
        return inputs | {"img_ids": ids}

    return moved


def _modulations(network: nn.Module) -> Overrides:
    """The host hands every block one vector per sample at t, then one at 0: (2B, dim)."""
    makers = {}
    for index in range(len(network.double_blocks)):
        makers[f"double_blocks.{index}.img_mod"] = _of_both
        makers[f"double_blocks.{index}.txt_mod"] = _of_noise
    for index in range(len(network.single_blocks)):
        makers[f"single_blocks.{index}.modulation"] = _of_both
    return Overrides(makers)


def _of_both(previous: Forward) -> Forward:
    def forward(vec: Tensor):
        return previous(vec.unflatten(0, (2, -1)).movedim(0, 1))  # (B, 2, dim), chosen by the host's modulation_dims

    return forward


def _of_noise(previous: Forward) -> Forward:
    def forward(vec: Tensor):
        return previous(vec[: vec.shape[0] // 2])  # (B, dim)

    return forward
