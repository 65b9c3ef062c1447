"""What learns: adapter, optimiser and averages; one step is a pure function of their state and the step's number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..adapters.files import load_as
from . import optimisers, order, restored
from .base import Base
from .cache import Cache
from .config import Config
from .lora import Trainable
from .objective import draws, flow_matching_loss, velocity

if TYPE_CHECKING:
    from accelerate import Accelerator


class Learner:
    """The adapter in training on this process.

    Args:
        config: the whole configuration.
        accelerator: accelerate's view of this process.
        base: the frozen model; `release` gives it back as it was.
        cache: the encoded rows; the last `config.held_out` are never drawn.
    """

    def __init__(self, config: Config, accelerator: Accelerator, base: Base, cache: Cache):
        self.config, self.accelerator, self.base, self.cache = config, accelerator, base, cache
        self.rows, self.step = len(cache) - config.held_out, 0
        self.shape = tuple(cache[0].target.shape)  # of a diptych's latent
        self.trainable = Trainable(base.transformer, config.adapter, config.train.seed)
        if config.model.adapter:
            load = self.trainable.load_adapter
            load(adapter_file(config.model.adapter, fits=load))
        if config.train.gradient_checkpointing:
            self.trainable.checkpoint_blocks()
        if config.train.compile:
            self.trainable.compile_blocks()
        optimiser = optimisers.make(config.optimiser, self.trainable.adapter_parameters())
        self.model, self.optimiser = accelerator.prepare(self.trainable, optimiser)
        self.parameters = self.trainable.named_adapter_parameters()
        self.average = optimisers.make_average(config.ema, self.parameters.values())

    def release(self) -> None:
        """Take the adapter off the base."""
        self.trainable.detach()

    def train_step(self) -> dict[str, Any]:
        """One optimiser step over all its parts.

        Returns:
            step (from 1), rate, scale (Prodigy's d or None), and `sums`: this process's loss and balance loss (2,).
        """
        rate = optimisers.set_rate(self.optimiser, self.config.optimiser, self.step, self.config.train.steps)
        sums = torch.zeros(2, device=self.accelerator.device)
        for part in range(self.config.train.accumulate):
            batch = self.batch_of(part)
            with self.accelerator.accumulate(self.model):
                loss, balance = self._losses(*batch)
                self.accelerator.backward(loss + self.config.adapter.balance * balance)
                if self.accelerator.sync_gradients and self.config.optimiser.clip:
                    self.accelerator.clip_grad_norm_(self.parameters.values(), self.config.optimiser.clip)
                self.optimiser.step()
                self.optimiser.zero_grad()
            sums += torch.stack([loss.detach(), balance.detach()])
        if self.average:
            self.average.step(self.parameters.values())
        self.step += 1
        scale = optimisers.found_scale(self.optimiser)
        return {"step": self.step, "rate": rate, "scale": scale, "sums": sums / self.config.train.accumulate}

    def batch_of(self, part: int) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """This process's samples of one part of the step: the batch, noise (B, 16, h, w) and t (B,)."""
        settings, loss, processes = self.config.train, self.config.loss, self.accelerator.num_processes
        numbers = order.samples(
            self.step,
            part,
            batch=settings.batch,
            accumulate=settings.accumulate,
            processes=processes,
            process=self.accelerator.process_index,
        )
        indices = torch.tensor([order.row_of(settings.seed, number, self.rows) for number in numbers])
        times = {"time_mean": loss.time_mean, "time_std": loss.time_std, "time_uniform": loss.time_uniform}
        drawn = [draws(settings.seed, number, self.shape, **times) for number in numbers]
        noise, t, drop = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        batch = self.to_device(self.cache.batch(indices, drop < settings.text_dropout))
        return batch, noise.to(self.accelerator.device), t.to(self.accelerator.device)

    def to_device(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Latents in float32, the text in the base's own type."""
        types = {"states": self.base.dtype, "pooled": self.base.dtype}
        return {n: tensor.to(self.accelerator.device, types.get(n, torch.float32)) for n, tensor in batch.items()}

    def _losses(self, batch: dict[str, Tensor], noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        weights = self.config.loss
        loss = flow_matching_loss(
            lambda noisy, t, batch: velocity(self.model, noisy, t, batch, self.base.guidance),
            batch,
            noise,
            t,
            left_weight=weights.left_weight,
            changed_weight=weights.changed_weight,
            small_edit_boost=weights.small_edit_boost,
        )
        return loss, self.trainable.balance_loss() if self.config.adapter.balance else loss.new_zeros(())

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the adapter has its averaged weights, if there are any."""
        if self.average is None:
            yield
            return
        self.average.store(self.parameters.values())
        self.average.copy_to(self.parameters.values())
        try:
            yield
        finally:
            self.average.restore(self.parameters.values())

    def adapter_state(self) -> dict[str, Tensor]:
        """What is worth using: the averaged weights if there are any, in the published layout."""
        with self.averaged():
            return self.trainable.adapter_state()

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "step": self.step,
            "parameters": {name: p.detach().cpu() for name, p in self.parameters.items()},
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.state_dict() if self.average else None,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises:
            ValueError: the state has other parameters, or another form than `state` gives.
        """
        shapes = [{n: tuple(p.shape) for n, p in group.items()} for group in (state["parameters"], self.parameters)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"icedit train: the checkpoint holds {len(shapes[0])} parameters of another layout, but this version "
                "trains others. Go on with the version that wrote it, or give its adapter.safetensors as model.adapter "
                "of a new training."
            )
        found = restored.tensors(state["parameters"], self.parameters)
        optimiser = restored.optimiser_state(state["optimiser"], self.optimiser)
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(found[name])
        self.optimiser.load_state_dict(optimiser)
        if self.average:
            parameters = list(self.parameters.values())
            average = restored.average_state(state["average"], self.average.state_dict(), parameters)
            self.average.load_state_dict(average)
            self.average.to(self.accelerator.device)
        self.step = state["step"]


def adapter_file(path: str, fits: Callable[[dict[str, Tensor]], None] | None = None) -> dict[str, Tensor]:
    """The tensors of the file that a training begins from.

    Args:
        fits: raises ValueError if these are none for the training at hand; called with their outline before a number
            is read.
    Raises:
        ValueError: it cannot be read, or what `fits` raises.
    """
    try:
        return load_as(dict, path, fits)[0]
    except ValueError as problem:
        raise ValueError(f"icedit train: model.adapter {path}: {problem}") from problem
