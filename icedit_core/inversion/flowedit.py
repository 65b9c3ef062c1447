"""FlowEdit: no inversion; the difference of the prompts' velocities on freshly noised copies of the source."""

import torch
from torch import Tensor

from .plan import Edited, Field, Plan, Seen, estimate


def edit(clean: Tensor, field: Field, plan: Plan, seen: Seen) -> Edited:
    """D_{i+1} = M [ D_i + (sigma_{i+1} - sigma_i) (v(S_i + D_i, c_t) - v(S_i, c_s)) ]; the edit is X + D_n.

    S_i = (1 - sigma_i) X + sigma_i e_i with one noise e_i a step, from the plan's seed. The source's prompt gives
    the source: the reconstruction is exact.

    Source: FlowEdit, arXiv 2412.08629, algorithm 1 with n_avg = 1 and n_min = 0; its n_max is steps - start.
    """
    draw = torch.Generator().manual_seed(plan.seed)
    difference = torch.zeros_like(clean)
    for i in plan.taken:
        sigma, key = plan.sigmas[i], plan.key(i)
        noise = torch.randn(clean.shape, generator=draw).to(clean)
        noised = (1 - sigma) * clean + sigma * noise
        v_source = field.source(noised, sigma, key)
        v = field.target(noised + difference, sigma, key)
        x0 = estimate(noised + difference, sigma, v)
        difference = difference + plan.width(i) * (v - v_source)
        if plan.mask is not None:
            difference = plan.mask * difference
        seen(clean + difference, x0)
    return Edited(clean + difference, clean)
