"""Plain Euler inversion: along the source's velocity up to noise, down again along the target's."""

from typing import NamedTuple

from torch import Tensor

from .plan import Edited, Field, Plan, Seen, captured, estimate


class Path(NamedTuple):
    """The inversion: latents[i] at sigmas[i], velocities[i] from latents[i + 1] at sigmas[i].

    Entries before the plan's start are None.
    """

    latents: list[Tensor]
    velocities: list[Tensor]


def invert(clean: Tensor, field: Field, plan: Plan, seen: Seen) -> Path:
    """Z_i = Z_{i+1} + (sigma_i - sigma_{i+1}) v(Z_{i+1}, sigma_i): the cleaner latent, the noisier time.

    Args:
        clean: (B, ...), the picture's latent in the model's own scale.
    Source: DirectEdit, arXiv 2605.02417, and its published code (pipeline's inversion).
    """
    latents, velocities = [clean] * (plan.steps + 1), [clean] * plan.steps
    z = clean
    for i in reversed(plan.taken):
        v = velocities[i] = field.source(z, plan.sigmas[i], plan.key(i) if field.ahead else None)
        cleaner, z = z, z - plan.width(i) * v
        latents[i] = z
        seen(z, estimate(cleaner, plan.sigmas[i], v))
    return Path(latents, velocities)


def edit(clean: Tensor, field: Field, plan: Plan, seen: Seen) -> Edited:
    """Invert, then take T_{i+1} = T_i + (sigma_{i+1} - sigma_i) v(T_i, sigma_i) by the target's prompt.

    It returns from the noise by another way than it came, so the source's prompt does not give the source again: the
    reconstruction shows by how much it misses, which costs as many model calls as the edit.
    """
    path = invert(clean, field, plan, seen)
    t = again = path.latents[plan.start]
    for i in plan.taken:
        sigma, key = plan.sigmas[i], plan.key(i)
        captured(field, path.latents[i + 1], sigma, key)
        v = field.target(t, sigma, key)
        seen(t, estimate(t, sigma, v))
        t = plan.blended(t + plan.width(i) * v, path.latents[i + 1])
    for i in plan.taken:
        v = field.source(again, plan.sigmas[i])
        seen(again, estimate(again, plan.sigmas[i], v))
        again = again + plan.width(i) * v
    return Edited(t, again)
