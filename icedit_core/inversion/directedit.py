"""DirectEdit: the inversion's own steps are the source's, so only the difference between the prompts is integrated."""

import torch
from torch import Tensor

from .euler import invert
from .plan import Edited, Field, Plan, Seen, captured, estimate


def edit(clean: Tensor, field: Field, plan: Plan, seen: Seen) -> Edited:
    """D_start = 0; D_{i+1} = M [ D_i + (sigma_{i+1} - sigma_i) (v(Z_{i+1} + D_i, c_t) - v_i) ]; the edit is Z_n + D_n.

    With T_i = Z_i + D_i this is the published recursion: the target's input T_i + (Z_{i+1} - Z_i), its step from T_i,
    the source overwritten by the inversion's latents, the mask's blend. The published code evaluates the source once
    more beside the target, with the input, time, prompt and guidance of the inversion: that result is v_i.

    Source: DirectEdit, arXiv 2605.02417; its published code.
    """
    path = invert(clean, field, plan, seen)
    difference = torch.zeros_like(clean)
    for i in plan.taken:
        sigma, key = plan.sigmas[i], plan.key(i)
        captured(field, path.latents[i + 1], sigma, key)
        x = path.latents[i + 1] + difference
        v = field.target(x, sigma, key)
        difference = difference + plan.width(i) * (v - path.velocities[i])
        if plan.mask is not None:
            difference = plan.mask * difference
        seen(path.latents[i + 1] + difference, estimate(x, sigma, v))
    return Edited(clean + difference, clean)
