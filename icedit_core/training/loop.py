"""The training itself: one optimiser step after another, each a pure function of the state and the step's number."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from . import optimisers, order, validation
from .base import Base
from .cache import Cache
from .checkpoint import Checkpoints, differences
from .config import Config, flat, global_batch, identity
from .data.rows import Rows, open_rows
from .lora import Trainable, save_adapter
from .objective import draws, flow_matching_loss, velocity
from .plot import loss_plot
from .records import Table, write_report
from .router import RouterLog, in_words, shares
from .setup import in_time, make_accelerator, open_base, open_cache
from .stop import Stop

if TYPE_CHECKING:
    from accelerate import Accelerator

log = logging.getLogger(__name__)
OnEvent = Callable[[str, dict[str, Any]], None]
"""Called on the main process with `start`, `step`, `saved` or `validated`, and what there is to say."""


def train(
    config: Config,
    rows: Rows | None = None,
    base: Base | None = None,
    on_event: OnEvent | None = None,
    *,
    resume: str = "auto",
) -> Path:
    """Train an adapter, or go on with a training that was stopped.

    Args:
        config: see docs/training.md.
        rows, base: used in the place of those that the config names.
        on_event: see `OnEvent`.
        resume: "auto" goes on from the newest checkpoint in the output folder; "never" sets the old ones aside.
    Returns:
        the adapter's file, in the published layout.
    Raises:
        ValueError: the config or the data do not fit each other or the checkpoint.
        KeyboardInterrupt: stopped by a signal, after saving.
    """
    accelerator = make_accelerator(config)
    rows = open_rows(config.data) if rows is None else rows
    base = open_base(config, accelerator.device) if base is None else base
    cache = open_cache(config, rows, base, accelerator)
    training = Training(config, accelerator, base, cache, rows.fingerprint(), on_event or (lambda kind, values: None))
    try:
        training.start(resume)
        with Stop() as stop:
            stopped = training.run(stop)
        if stopped:
            raise KeyboardInterrupt(f"stopped after step {training.step}; the same command goes on from there")
        return training.finish()
    finally:
        training.trainable.detach()


class Training:
    """A training in progress; everything that the next step depends on is in `state()`."""

    def __init__(
        self, config: Config, accelerator: Accelerator, base: Base, cache: Cache, data: str, on_event: OnEvent
    ):
        self.config, self.accelerator, self.base, self.cache = config, accelerator, base, cache
        self.out, self.main = Path(config.output.folder), accelerator.is_main_process
        self.on_event: OnEvent = on_event if self.main else lambda kind, values: None
        self.rows = len(cache) - config.held_out
        self.identity = {**identity(config, accelerator.num_processes), "the data": data, "rows in use": len(cache)}
        self.identity["the base model"] = base.fingerprint()
        self.checkpoints = Checkpoints(self.out / "checkpoints", config.output.keep)
        self.trainable = Trainable(base.transformer, config.adapter, config.train.seed)
        if config.model.adapter:
            self.trainable.load_adapter(load_file(config.model.adapter))
        if config.train.gradient_checkpointing:
            self.trainable.checkpoint_blocks()
        if config.train.compile:
            self.trainable.compile_blocks()
        optimiser = optimisers.make(config.optimiser, self.trainable.adapter_parameters())
        self.model, self.optimiser = accelerator.prepare(self.trainable, optimiser)
        self.parameters = self.trainable.named_adapter_parameters()
        self.average = optimisers.make_average(config.ema, self.parameters.values())
        self.router = RouterLog()
        self.losses = Table(self.out / "loss.csv", ["loss", "rate", "scale", "balance"])
        experts = [f"expert_{i}" for i in range(config.adapter.experts)]
        self.routes = Table(self.out / "router.csv", experts)
        self.step, self.seconds, self.unwritten = 0, 0.0, []

    # --- one step

    def batch_of(self, part: int) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """This process's samples of one part of the step: the batch, noise (B, 16, h, w) and t (B,)."""
        settings, loss = self.config.train, self.config.loss
        place = {"processes": self.accelerator.num_processes, "process": self.accelerator.process_index}
        numbers = order.samples(self.step, part, batch=settings.batch, accumulate=settings.accumulate, **place)
        indices = torch.tensor([order.row_of(settings.seed, number, self.rows) for number in numbers])
        shape = tuple(self.cache.shape)
        times = {"time_mean": loss.time_mean, "time_std": loss.time_std, "time_uniform": loss.time_uniform}
        noise, t, drop = (torch.stack(x) for x in zip(*(draws(settings.seed, n, shape, **times) for n in numbers)))
        batch = self.to_device(self.cache.batch(indices, drop < settings.text_dropout))
        return batch, noise.to(self.accelerator.device), t.to(self.accelerator.device)

    def to_device(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Latents stay as they are stored; the text comes in the base's own type."""
        moved = {name: tensor.to(self.accelerator.device) for name, tensor in batch.items()}
        return {**moved, "states": moved["states"].to(self.base.dtype), "pooled": moved["pooled"].to(self.base.dtype)}

    def predict(self, noisy: Tensor, t: Tensor, batch: Any) -> Tensor:
        return velocity(self.model, noisy, t, batch, self.base.guidance)

    def train_step(self) -> dict[str, float]:
        """One optimiser step over all its parts; what is to be written down about it."""
        settings, weights = self.config, self.config.loss
        rate = optimisers.set_rate(self.optimiser, settings.optimiser, self.step, settings.train.steps)
        sums = torch.zeros(2, device=self.accelerator.device)
        for part in range(settings.train.accumulate):
            batch, noise, t = self.batch_of(part)
            with self.accelerator.accumulate(self.model):
                loss = flow_matching_loss(
                    self.predict,
                    batch,
                    noise,
                    t,
                    left_weight=weights.left_weight,
                    changed_weight=weights.changed_weight,
                )
                balance = self.trainable.balance_loss() if settings.adapter.balance else loss.new_zeros(())
                self.accelerator.backward(loss + settings.adapter.balance * balance)
                if self.accelerator.sync_gradients and settings.optimiser.clip:
                    self.accelerator.clip_grad_norm_(self.parameters.values(), settings.optimiser.clip)
                self.optimiser.step()
                self.optimiser.zero_grad()
            sums += torch.stack([loss.detach(), balance.detach()])
        if self.average:
            self.average.step(self.parameters.values())
        self.step += 1
        values = {"step": self.step, "rate": rate, "scale": optimisers.found_scale(self.optimiser)}
        return {**values, "sums": sums / settings.train.accumulate}

    # --- the way through

    def start(self, resume: str) -> None:
        """Begin, or go on from the newest checkpoint.

        Raises:
            ValueError: the checkpoint is of another training.
        """
        from accelerate.utils import broadcast_object_list

        if self.main:
            self.out.mkdir(parents=True, exist_ok=True)
            if resume == "never" and (aside := self.checkpoints.set_aside()):
                log.info("the checkpoints of an earlier training are now in %s", aside)
        (newest,) = broadcast_object_list([max(self.checkpoints.steps(), default=None)])
        if newest is not None:
            self.load(newest)
        if self.main:
            for table in (self.losses, self.routes):
                table.begin(self.step)
        log.info("%s at step %d of %d", "going on" if self.step else "starting", self.step, self.config.train.steps)
        self.on_event("start", {"step": self.step, "rows": self.rows})

    def run(self, stop: Stop) -> bool:
        """Step until the end or until asked to stop; True if stopped before the end."""
        settings, began, first = self.config, time.monotonic(), self.step
        before = self.seconds
        while self.step < settings.train.steps:
            record = self.train_step()
            asked = self.account(record, stop.asked)
            self.seconds = before + time.monotonic() - began
            if self.step % settings.train.log_every == 0 or self.step == settings.train.steps:
                self.report_progress((time.monotonic() - began) / (self.step - first))
            last = self.step == settings.train.steps
            if settings.validation.every and (self.step % settings.validation.every == 0 or last):
                self.validate()
            if self.step % settings.output.save_every == 0 or last or asked:
                self.save()
            if asked and not last:
                return True
        return False

    def account(self, record: dict[str, Any], asked: bool) -> bool:
        """Mean over the processes, kept for loss.csv; whether any process was asked to stop.

        Raises:
            ValueError: the loss is not finite.
        """
        sums = torch.cat([record.pop("sums"), torch.tensor([float(asked)], device=self.accelerator.device)])
        loss, balance, stop = self.accelerator.reduce(sums, "mean").tolist()
        if not abs(loss) < float("inf"):
            raise ValueError(
                f"icedit train: the loss of step {self.step} is {loss}, but a finite one is needed. Lower "
                "optimiser.lr, or look at the latest rows; checkpoints from before this step are untouched."
            )
        self.unwritten.append({**record, "loss": loss, "balance": balance})
        self.on_event("step", self.unwritten[-1])
        return stop > 0

    def report_progress(self, seconds: float) -> None:
        """A line for the log, the rows for the tables."""
        self.write_tables()
        recent = self.losses.read()[-self.config.train.log_every :] if self.main else []
        if not recent:
            return
        left = in_time(seconds * (self.config.train.steps - self.step))
        middle = statistics.median(row["loss"] for row in recent)
        scale = f", Prodigy's d {recent[-1]['scale']:.2e}" if "scale" in recent[-1] else ""
        words = (self.step, self.config.train.steps, middle, scale, seconds, left)
        log.info("step %d of %d: loss %.4f%s, %.2f s a step, %s left", *words)
        if counts := self.router.take():
            log.info("step %d: %s", self.step, in_words(counts))
            self.routes.add([{"step": self.step, **{f"expert_{i}": s for i, s in enumerate(shares(counts))}}])

    def write_tables(self) -> None:
        """Bring loss.csv and the router's counts up to this step."""
        self.router.add(self.trainable.expert_usage(reset=True))
        if self.main:
            self.losses.add(self.unwritten)
        self.unwritten = []

    # --- state

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "seconds": self.seconds,
            "identity": self.identity,
            "parameters": {name: p.detach().cpu() for name, p in self.parameters.items()},
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "router": self.router.state(),
        }

    def save(self) -> None:
        """Write a checkpoint; the main process does, the others wait."""
        self.write_tables()
        if self.main:
            self.losses.sync()
            self.routes.sync()
            path = self.checkpoints.save(self.step, self.state(), self.write_adapter)
            log.info("step %d: saved %s", self.step, path)
            self.on_event("saved", {"step": self.step, "path": path})
        self.accelerator.wait_for_everyone()

    def load(self, step: int) -> None:
        """Continue from a checkpoint.

        Raises:
            ValueError: it is of another configuration, other data or another base.
        """
        path, state = self.checkpoints.path(step), self.checkpoints.load(step)
        if found := differences(state["identity"], self.identity):
            raise ValueError(
                f"icedit train: {path} is of another training: {'; '.join(found)}; but the same is needed to go on. "
                "Put it back, choose another output.folder, or start anew with --resume never."
            )
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(state["parameters"][name])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.average:
            self.average.load_state_dict(state["average"])
            self.average.to(self.accelerator.device)
        self.router.load(state["router"])
        self.step, self.seconds = state["step"], state["seconds"]

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

    # --- results

    def write_adapter(self, path: Path) -> None:
        """The adapter in the published layout, of the averaged weights if there are any."""
        spec = self.config.adapter
        facts = {"rank": spec.rank, "alpha": spec.alpha, "top_k": spec.top_k, "prompt": self.config.data.prompt}
        with self.averaged():
            state = self.trainable.adapter_state()
        save_adapter(path, state, {**{k: str(v) for k, v in facts.items()}, "step": str(self.step)})

    def validate(self) -> None:
        """Paint the rows that were held out; the main process does, the others wait."""
        if self.main:
            path = self.out / "validation" / f"{self.step:08d}.png"
            rows = range(self.rows, len(self.cache))
            with self.averaged(), self.accelerator.autocast():
                picture = validation.paint(
                    self.trainable, self.base, self.cache, rows, self.config.validation, self.to_device
                )
            validation.save_picture(picture, path)
            log.info("step %d: painted %s", self.step, path)
            self.on_event("validated", {"step": self.step, "path": path})
        self.accelerator.wait_for_everyone()

    def finish(self) -> Path:
        """Write the adapter, the loss curve and the report."""
        path = self.out / "adapter.safetensors"
        if self.main:
            self.write_adapter(path)
            curve = self.losses.read()
            loss_plot(self.out / "loss.png", [row["step"] for row in curve], [row["loss"] for row in curve])
            write_report(self.out / "report.json", self.report(curve))
            log.info("done: %s", path)
        self.accelerator.wait_for_everyone()
        return path

    def report(self, curve: list[dict[str, float]]) -> dict[str, Any]:
        """What happened, for report.json."""
        return {
            "adapter": "adapter.safetensors",
            "steps": self.step,
            "global_batch": global_batch(self.config, self.accelerator.num_processes),
            "rows": {
                "trained_on": self.rows,
                "held_out": self.config.held_out,
                "skipped": len(self.cache.broken),
                "reasons": [{"row": key, "reason": reason} for key, reason in self.cache.broken],
            },
            "seconds": round(self.seconds, 1),
            "loss": statistics.median(row["loss"] for row in curve[-50:]),
            "parameters": sum(p.numel() for p in self.parameters.values()),
            "tokens_per_expert": self.router.total,
            "config": flat(self.config),
        }
