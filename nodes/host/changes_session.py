"""One sampling that computes only what changes: full or short is decided once a step, for all of its model calls."""

import time
from collections.abc import Hashable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...icedit_core.only_changes import region, schedule, tokens
from ...icedit_core.only_changes.told import Step
from .changes_settings import WHO, Chooser, Settings
from .changes_source import Source
from .kept_keys import Holder
from .short_steps import Call, Hooks


class Plan(NamedTuple):
    """kind: full, short or reused; chosen: (N,) bool; rows: (A,) of them; spared: (1, 1, ..., H, W) bool; held: what
    the spared part is, like x; factor: of a reused velocity."""

    kind: str
    chosen: Tensor | None = None
    rows: Tensor | None = None
    spared: Tensor | None = None
    held: Tensor | None = None
    factor: float = 1.0


FULL = Plan("full")


class Session:
    """What is known while one sampling runs. Its methods are wrappers of the host's calls, from outer to inner.

    Args:
        always_full: why nothing can be spared, or "".
    """

    def __init__(self, settings: Settings, holder: Holder, source: Source, sigmas: Tensor, always_full: str):
        self.settings, self.source, self.always_full = settings, source, always_full
        self.sigmas = tuple(float(sigma) for sigma in sigmas)  # uni_pc writes into the host's
        self.kept = holder.keys_values
        self.hooks = Hooks(self.kept)
        self.full = _full_steps(settings, len(self.sigmas) - 1)
        self.chooser = (
            None if always_full else Chooser(settings, source.kind, source.flat, source.grid, source.unscaled)
        )
        self.reuse = None if always_full else _reuse(settings, source.kind, len(self.sigmas) - 1)
        self.velocities: dict[Any, Tensor] = {}
        self.step: int | None = None
        self.plan = FULL  # of the step
        self.now = FULL  # of the running call: the step's, or FULL where the call lies in no step
        self.region: Tensor | None = None  # RegionE's, chosen once
        self.x0: Tensor | None = None
        self.asked: set[Hashable] = set()  # conditionings that this estimate has called the model for
        self.steps: list[Step] = []
        self.whole_steps = 0  # full ones since too much changes for an edit of a part
        self.most_bytes = 0
        self.began = 0.0

    def predict(self, executor, x: Tensor, timestep: Tensor, model_options=None, seed=None) -> Tensor:
        """Around the host's `predict_noise`: decides, and writes the spared part into the estimate.

        Every model call of it has that part already; guidance and other patches may have moved it by a rounding.
        """
        self._enter(x, float(timestep.max()))
        self.asked.clear()
        denoised = executor(x, timestep, model_options or {}, seed)
        if self.now.spared is not None:
            denoised = torch.where(self.now.spared, self.now.held.to(denoised), denoised)
        self.x0 = denoised.clone()  # a sampler may write into what it gets
        return denoised

    def apply(self, executor, x: Tensor, t: Tensor, *args, **kwargs) -> Tensor:
        """Around the host's `apply_model`: one call for one or more conditionings of equal shape."""
        options = kwargs.get("transformer_options") or args[3]
        owners, plan = tuple(options["uuids"]), self.now
        sigma = t.reshape(-1, *[1] * (x.ndim - 1))
        if plan.kind == "reused" and all(owner in self.velocities for owner in owners):
            velocity = torch.cat([self.velocities[owner] for owner in owners])
            return self._with_spared(x - sigma * plan.factor * velocity, plan, len(owners))
        again = not self.asked.isdisjoint(owners)
        if again:  # its keys and values are not those of the model as it is
            self.always_full = "another node calls the model several times for a conditioning"
        self.asked.update(owners)
        short = plan.rows is not None and self.kept.has(owners) and not again
        keep = plan.kind == "full" and not again and self._needed_later()
        self.hooks.call = Call(owners, plan.rows if short else None, self.source.grid.tokens, keep)
        try:
            out = executor(x, t, *args, **kwargs)
        finally:
            self.hooks.call = None
        self.most_bytes = max(self.most_bytes, self.kept.bytes)
        out = self._with_spared(out, plan, len(owners))
        if self.reuse is not None:
            parts = ((x - out) / sigma).chunk(len(owners))
            self.velocities.update(zip(owners, parts, strict=True))
        return out

    def finish(self) -> None:
        """The last step's time ends here."""
        self._close()
        self.velocities.clear()
        self.x0 = None

    def _enter(self, x: Tensor, sigma: float) -> None:
        step = schedule.step_of(sigma, self.sigmas)
        if step is not None and step != self.step:
            self._close()
            self.began = time.perf_counter()
            self.step, self.plan = step, self._decide(x, step)
            if self.reuse is not None and self.plan.kind != "reused":
                self.reuse.computed()
        self.now = FULL if step is None else self.plan

    def _decide(self, x: Tensor, step: int) -> Plan:
        if self.always_full or step in self.full or self.x0 is None or not self.kept.bytes:
            return FULL
        chosen, first = self._chosen(x)
        rows = tokens.union(chosen)
        count = self.source.grid.tokens if self.source.open is None else int(self.source.open.any(0).sum())
        if len(rows) in (0, count):
            return FULL  # nothing to spare, or the estimate is the source already
        if self._is_whole(chosen.sum(1).max().item() / count):
            self.whole_steps += 1
            return FULL
        chosen = chosen.any(0)
        spared = ~self.source.grid_mask(chosen, x)
        plan = Plan("short", chosen, rows, spared, self._held(x, step))
        if self.reuse is None or first or not self.velocities:
            return plan
        factor = self.reuse.factor(step, self.sigmas)
        return plan if factor is None else plan._replace(kind="reused", factor=factor)

    def _is_whole(self, share: float) -> bool:
        """Does so much of a picture of the batch change that it is edited as a whole? A fixed region is what it is."""
        fixed = self.source.mask is not None and self.settings.mask_use == "fix"
        return not fixed and share > self.settings.whole_from

    def _chosen(self, x: Tensor) -> tuple[Tensor, bool]:
        """Active tokens (B, N), and whether they were chosen just now."""
        settings, open_tokens, mask = self.settings, self.source.open, self.source.mask
        if settings.method == "region" and self.region is not None:
            return self.region, False
        if mask is not None and settings.mask_use == "fix":
            chosen = mask
        else:
            chosen = self.chooser.active(self.source.squeezed(self.x0), open_tokens)
            if mask is not None:
                chosen = chosen & mask if settings.mask_use == "limit" else chosen | mask
        chosen = chosen if open_tokens is None else chosen & open_tokens
        if settings.method == "region":
            self.region = chosen
        return chosen, True

    def _held(self, x: Tensor, step: int) -> Tensor:
        """What the spared part is estimated to be: RegionE's and the first SpotEdit's stay what they were."""
        last = self.settings.method == "spot" and step == len(self.sigmas) - 2
        if self.settings.method == "spot" and (self.settings.flow == "source" or last):
            return self.source.like(x)
        return self.x0

    def _with_spared(self, out: Tensor, plan: Plan, copies: int) -> Tensor:
        if plan.spared is None:
            return out
        held = plan.held.to(out)
        return torch.where(plan.spared, torch.cat([held] * copies), out)

    def _needed_later(self) -> bool:
        return not self.always_full and any(
            step not in self.full for step in range((self.step or 0) + 1, len(self.sigmas) - 1)
        )

    def _close(self) -> None:
        if self.step is None:
            return
        plan, seconds = self.plan, time.perf_counter() - self.began
        share = {"full": 1.0, "reused": 0.0}.get(plan.kind)
        share = len(plan.rows) / self.source.grid.tokens if share is None else share
        self.steps.append(
            Step(self.step, plan.kind, share, seconds, None if plan.chosen is None else plan.chosen.cpu())
        )
        self.step = None


def _full_steps(settings: Settings, steps: int) -> frozenset[int]:
    if settings.full_steps.strip():
        return schedule.listed(WHO, settings.full_steps, steps)
    return schedule.spot(steps, settings.last_full) if settings.method == "spot" else schedule.region(steps)


def _reuse(settings: Settings, kind: str, steps: int) -> region.VelocityReuse | None:
    """Velocities are used again only with a fit for this model and this number of steps."""
    if settings.method != "region" or settings.reuse_error <= 0:
        return None
    gammas = settings.gammas
    if gammas is None:
        gammas = region.KONTEXT_28 if kind == "flux" and steps == len(region.KONTEXT_28) + 1 else None
    elif len(gammas) != steps - 1:
        raise ValueError(
            f"{WHO}: the velocity fit has {len(gammas)} values, but {steps} steps need {steps - 1}. Fit anew for this "
            "number of steps, or leave it empty."
        )
    return None if gammas is None else region.VelocityReuse(gammas, settings.reuse_error)
