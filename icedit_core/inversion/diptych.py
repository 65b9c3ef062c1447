"""A diptych from noise: its left half is the source's inversion, its right half begins as fresh noise."""

import torch
from torch import Tensor

from ..panels import left, right
from .euler import invert
from .plan import Field, Plan, Seen, captured, estimate

WHO = "ICEdit Diptych From Noise"


def paint(clean: Tensor, noise: Tensor, field: Field, plan: Plan, seen: Seen, lock: bool = True) -> Tensor:
    """Invert the source, then denoise [inverted | fresh] while the left half reads the source's attention values.

    Args:
        clean: (B, C, h, w), the source's panel in the model's own scale.
        noise: (B, C, h, w), for the right half.
        field: its `source` takes the panel, its `target` the diptych, into whose left tokens the values go.
        seen: told after every step: the panel's latent and estimate in the inversion, the right half's afterwards.
        lock: at every step the left half is the inversion's latent, as that step's values saw it. Without, it is
            what the model makes of it, as the paper has it.
    Returns:
        (B, C, h, 2w).
    Source: ICEdit, arXiv 2504.20690, section 3.1 (text-to-image framework). The paper names no schedule and no solver.
        The Euler inversion, whose values and latents belong together at every step, and the lock are DirectEdit's.
    """
    path = invert(clean, field, plan, seen)
    first = plan.sigmas[plan.start]
    held, fresh = path.latents[plan.start], (1 - first) * clean + first * noise
    for i in plan.taken:
        sigma, key = plan.sigmas[i], plan.key(i)
        captured(field, path.latents[i + 1], sigma, key)
        both = torch.cat([path.latents[i + 1] if lock else held, fresh], -1)
        v = field.target(both, sigma, key)
        held, fresh = held + plan.width(i) * left(v), fresh + plan.width(i) * right(v)
        seen(fresh, right(estimate(both, sigma, v)))
    return torch.cat([clean if lock else held, fresh], -1)
