"""What FLUX Fill is trained on: one sample's draws, and the flow-matching loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from ..panels import image_ids, left, pack, right, unpack

Batch = Mapping[str, Tensor]
Predict = Callable[[Tensor, Tensor, Batch], Tensor]
"""(noisy latents (B, 16, h, w), t (B,), batch) -> v = noise - image, (B, 16, h, w)."""
_OF_SAMPLES = 1
"""Sets these random streams apart from others of the same seed."""


def condition(masked: Tensor, mask: Tensor | None = None) -> Tensor:
    """Tokens of the masked picture's latent (B, 16, h, w) and of the mask, (B, N, 320).

    Args:
        mask: (B, 1, h, w), 1 where the picture is to be painted; None means the right half of a diptych.
    """
    if mask is None:
        mask = torch.zeros_like(masked[:, :1])
        right(mask).fill_(1)
    return pack(torch.cat([masked, mask.expand(-1, 64, -1, -1)], dim=1))


def velocity(model: Callable[..., Tensor], noisy: Tensor, t: Tensor, batch: Batch, guidance: float) -> Tensor:
    """One call of FLUX Fill.

    Args:
        model: takes the inputs of diffusers' FLUX transformer by name, gives tokens; `Trainable`, for example.
        noisy: (B, 16, h, w), float32.
        t: (B,) in [0, 1].
        batch: `condition` (B, 16, h, w), `states` (B, T, C), `pooled` (B, P).
        guidance: the FLUX guidance embedding's input, as users see it.
    Returns:
        v = noise - image, (B, 16, h, w), float32.
    """
    h, w = noisy.shape[-2:]
    states = batch["states"]
    tokens = model(
        hidden_states=torch.cat([pack(noisy), condition(batch["condition"].to(noisy.dtype))], dim=-1).to(states.dtype),
        encoder_hidden_states=states,
        pooled_projections=batch["pooled"],
        timestep=t.to(states.dtype),
        guidance=torch.full_like(t, guidance, dtype=states.dtype),
        img_ids=image_ids(h, w, noisy.device),
        txt_ids=torch.zeros(states.shape[1], 3, device=noisy.device),
    )
    return unpack(tokens.float(), h, w)


def draws(
    seed: int,
    index: int,
    shape: tuple[int, ...],
    *,
    time_mean: float = 0.0,
    time_std: float = 1.0,
    time_uniform: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """All that is random about one training sample, as a function of the seed and the sample's number alone.

    So a training goes on exactly where it stopped, and does not depend on the number of processes.

    Args:
        seed: of the training.
        index: how many samples came before this one, over all processes and steps.
        shape: of the latent.
        time_mean, time_std: t = sigmoid(N(time_mean, time_std)); 0 and 1 are the published ones.
        time_uniform: probability of a t that is uniform on [0, 1] instead.
    Returns:
        noise of `shape`; t, a scalar; drop, a scalar uniform on [0, 1): text is dropped where it is below the rate.
    """
    stream = np.random.default_rng((seed, index, _OF_SAMPLES))
    normal, mixed, uniform, drop = stream.standard_normal(), *stream.random(3)
    t = uniform if mixed < time_uniform else 1 / (1 + np.exp(-(time_mean + time_std * normal)))
    noise = torch.from_numpy(stream.standard_normal(shape, dtype=np.float32))
    return noise, torch.tensor(t, dtype=torch.float32), torch.tensor(drop, dtype=torch.float64)


def flow_matching_loss(
    predict: Predict,
    batch: Batch,
    noise: Tensor,
    t: Tensor,
    *,
    left_weight: float = 1.0,
    changed_weight: float = 1.0,
    small_edit_boost: float = 1.0,
) -> Tensor:
    """Mean squared error of the velocity on the straight way from image to noise.

    Args:
        predict: see `Predict`.
        batch: `target` (B, 16, h, w), what `predict` needs, and `changed` (B, 1, h, w) if the cells with edited pixels
            weigh anything but 1.
        noise: (B, 16, h, w).
        t: (B,) in [0, 1].
        left_weight: of the left panel's cells; 1 is the published one.
        changed_weight: of the right panel's cells with edited pixels; 1 is the published one.
        small_edit_boost: see `edit_weights`; 1 is the published one.
    Returns:
        the batch's mean, a scalar; with weights, of the weighted errors (not divided by the weights' sum, so that the
        mean over processes is the mean over their samples).
    Source: ICEdit's training code: x_t = (1 - t) x_0 + t x_1, goal x_1 - x_0.
    """
    target = batch["target"].float()
    way = t.view(-1, 1, 1, 1).float()
    error = (predict((1 - way) * target + way * noise, t, batch) - (noise - target)).square()
    if left_weight == changed_weight == small_edit_boost == 1:
        return error.mean()
    weight = torch.ones_like(error[:, :1])
    if changed_weight != 1 or small_edit_boost != 1:
        right(weight).copy_(edit_weights(right(batch["changed"]) > 0, changed_weight, small_edit_boost))
    left(weight).fill_(left_weight)
    return (error * weight).mean()


def edit_weights(changed: Tensor, weight: float, boost: float = 1.0) -> Tensor:
    """What the error in each cell of a panel counts: 1, and more where the edit changes something.

    A mean over the panel lets an edit of all of it outweigh a small one many times over. So the weight of an edit grows
    by 1 / sqrt(its share of the panel), at most by `boost`.

    Args:
        changed: (B, 1, h, w) bool, the cells of the panel with edited pixels.
        weight: of a cell with edited pixels where the edit takes all of the panel.
        boost: at least 1; 1 gives every edit the same weight.
    Returns:
        (B, 1, h, w), float32.
    """
    cells = changed.float()
    share = cells.mean((1, 2, 3), keepdim=True).clamp_min(1 / boost**2)
    return 1 + (weight * share.rsqrt() - 1) * cells
