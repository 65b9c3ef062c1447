"""`train`: from a configuration to an adapter's file, through any number of interruptions."""

from __future__ import annotations

import logging
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ..folder_lock import FolderLock
from . import restored, validation
from .checkpoint import Checkpoints, differences, unusable, writing
from .config import Config, flat, global_batch, identity
from .data import BrokenRow, Rows, open_rows
from .learner import Learner
from .lora import save_adapter
from .plot import loss_plot
from .records import Table, write_report
from .router import RouterLog, in_words, shares
from .setup import Base, in_time, make_accelerator, open_base, open_cache
from .stop import Stop

log = logging.getLogger(__name__)
EARLY = 3  # steps after which the time left is said for the first time
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
        rows, base: used in the place of those that the config names; the base is given back as it was.
        on_event: see `OnEvent`.
        resume: "auto" goes on from the newest checkpoint in the output folder; "never" sets the old ones aside.
    Returns:
        the adapter's file, in the published layout.
    Raises:
        ValueError: the config, the data and the checkpoint do not fit each other, another training writes to the
            output folder, or it cannot be written.
        KeyboardInterrupt: stopped by a signal, after saving.
    """
    accelerator = make_accelerator(config)
    rows = open_rows(config.data) if rows is None else rows
    base = open_base(config, accelerator.device) if base is None else base
    with writing(Path(config.output.folder)):
        cache = open_cache(config, rows, base, accelerator)
        learner, lock = Learner(config, accelerator, base, cache), FolderLock(Path(config.output.folder))
        try:
            words = held_out_words(rows, cache.keys[learner.rows :])
            loop = Loop(learner, rows.fingerprint(), on_event, lock, words)
            loop.start(resume)
            with Stop() as stop:
                finished = loop.run(stop)
            if not finished:
                raise KeyboardInterrupt(f"stopped after step {learner.step}; the same command goes on from there")
            return loop.finish()
        finally:
            lock.release()
            learner.release()


def held_out_words(rows: Rows, keys: Sequence[str]) -> list[str]:
    """The instructions of the last usable rows, by key."""
    found: dict[str, str] = {}
    for index in range(len(rows) - 1, -1, -1):
        if len(found) == len(keys):
            break
        try:
            row = rows[index]
        except BrokenRow:
            continue
        if row.key in keys:
            found[row.key] = row.instruction
    return [found.get(key, "") for key in keys]


class Loop:
    """Steps, and everything that is written around them; files are written by the main process alone."""

    def __init__(
        self, learner: Learner, data: str, on_event: OnEvent | None, lock: FolderLock, words: Sequence[str] = ()
    ):
        self.words = words  # instructions of the rows held out
        self.learner, self.config, self.accelerator = learner, learner.config, learner.accelerator
        self.out, self.main = Path(self.config.output.folder), self.accelerator.is_main_process
        self._tell: OnEvent = on_event if on_event and self.main else lambda kind, values: None
        self.identity = {
            **identity(self.config, self.accelerator.num_processes),
            "the data": data,
            "usable rows": len(learner.cache),
            "the base model": learner.base.fingerprint(),
        }
        self.checkpoints = Checkpoints(self.out / "checkpoints", self.config.output.keep)
        self.lock = lock
        self.router = RouterLog()
        self.losses = Table(self.out / "loss.csv", ["loss", "rate", "scale", "balance"])
        self.routes = Table(self.out / "router.csv", [f"expert_{i}" for i in range(self.config.adapter.experts)])
        self.unwritten: list[dict[str, Any]] = []
        self.recent: deque[float] = deque(maxlen=self.config.train.log_every)
        self.seconds = 0.0

    def start(self, resume: str) -> None:
        """Begin, or go on from the newest checkpoint.

        Raises:
            ValueError: the checkpoint is of another training, or the folder is another training's.
        """
        from accelerate.utils import broadcast_object_list

        problem = self._take_folder(resume) if self.main else None
        problem, newest = broadcast_object_list([problem, max(self.checkpoints.steps(), default=None)])
        if problem:
            raise ValueError(problem)
        if newest is not None:
            self._load(newest)
        if self.main:
            for table in (self.losses, self.routes):
                table.begin(self.learner.step)
            how, step = ("going on" if self.learner.step else "starting"), self.learner.step
            log.info("%s: step %d of %d, %d rows", how, step, self.config.train.steps, self.learner.rows)
        self._tell("start", {"step": self.learner.step, "rows": self.learner.rows})

    def _take_folder(self, resume: str) -> str | None:
        """Lock the output folder; the problem, which every process is to know of."""
        try:
            with writing(self.out):
                self.lock.take()
        except ValueError as problem:
            return str(problem)
        if resume == "never" and (aside := self.checkpoints.set_aside()):
            log.info("the checkpoints of an earlier training are now in %s", aside)
        return None

    def run(self, stop: Stop) -> bool:
        """Step until the end, or until asked to stop; False if stopped before the end."""
        every, began, before, first = self.config, time.monotonic(), self.seconds, self.learner.step
        while (step := self.learner.step) < every.train.steps:
            asked = self._account(self.learner.train_step(), stop.asked)
            step += 1
            last = step == every.train.steps
            self.seconds = before + time.monotonic() - began
            if step % every.train.log_every == 0 or last:
                self._say_progress((time.monotonic() - began) / (step - first))
            elif step == first + EARLY and self.main:
                left = in_time((time.monotonic() - began) / EARLY * (every.train.steps - step))
                log.info("step %d of %d: about %s left", step, every.train.steps, left)
            if every.validation.every and (step % every.validation.every == 0 or last):
                self._validate()
            if step % every.output.save_every == 0 or last or asked:
                self._save()
            if asked and not last:
                return False
        return True

    def finish(self) -> Path:
        """Write the adapter, the loss curve and the report."""
        path = self.out / "adapter.safetensors"
        if self.main:
            self._write_adapter(path)
            curve = self.losses.read()
            loss_plot(self.out / "loss.png", [row["step"] for row in curve], [row["loss"] for row in curve])
            write_report(self.out / "report.json", self._report([row["loss"] for row in curve]))
            log.info("done: %s", path)
        self.accelerator.wait_for_everyone()
        return path

    def _account(self, record: dict[str, Any], asked: bool) -> bool:
        """Keep the mean over the processes for loss.csv; whether any process was asked to stop.

        Raises:
            ValueError: the loss is not finite.
        """
        device = self.accelerator.device
        sums = torch.cat([record.pop("sums"), torch.tensor([float(asked)], device=device)])
        loss, balance, stop = self.accelerator.reduce(sums, "mean").tolist()
        if not abs(loss) < float("inf"):
            raise ValueError(
                f"icedit train: the loss of step {record['step']} is {loss}, but a finite one is needed. Lower "
                "optimiser.lr or set optimiser.clip, and start again: the last checkpoint is from before."
            )
        self.unwritten.append({**record, "loss": loss, "balance": balance})
        self.recent.append(loss)
        self._tell("step", self.unwritten[-1])
        return stop > 0

    def _say_progress(self, seconds: float) -> None:
        self._write_tables()
        if not self.main:
            return
        step, steps = self.learner.step, self.config.train.steps
        middle, left = statistics.median(self.recent), in_time(seconds * (steps - step))
        log.info("step %d of %d: loss %.4f, %.2f s a step, %s left", step, steps, middle, seconds, left)
        if counts := self.router.take():
            log.info("step %d: %s", step, in_words(counts))
            self.routes.add([{"step": step, **{f"expert_{i}": s for i, s in enumerate(shares(counts))}}])

    def _write_tables(self) -> None:
        """Bring loss.csv and the routers' counts up to this step."""
        self.router.add(self.learner.trainable.expert_usage(reset=True))
        if self.main:
            self.losses.add(self.unwritten)
        self.unwritten = []

    def _save(self) -> None:
        self._write_tables()
        if self.main:
            self.losses.sync()
            self.routes.sync()
            more = {"identity": self.identity, "seconds": self.seconds, "router": self.router.state()}
            path = self.checkpoints.save(self.learner.step, {**self.learner.state(), **more}, self._write_adapter)
            log.info("step %d: saved %s", self.learner.step, path)
            self._tell("saved", {"step": self.learner.step, "path": path})
        self.accelerator.wait_for_everyone()

    def _load(self, step: int) -> None:
        path, state = self.checkpoints.path(step), self.checkpoints.load(step)
        if not isinstance(state.get("identity"), dict):
            raise unusable(path, ValueError("it holds no training"))
        if found := differences(state["identity"], self.identity):
            raise ValueError(
                f"icedit train: {path} is of another training: {'; '.join(found)}; but the same is needed to go on. "
                "Put it back, choose another output.folder, or start anew with --resume never."
            )
        try:
            self.learner.load(state)
            experts = self.config.adapter.experts
            self.router.load({name: restored.counts(state["router"][name], experts) for name in ("recent", "total")})
            self.seconds = float(restored.number("seconds", state["seconds"]))
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as problem:
            if isinstance(problem, ValueError) and str(problem).startswith("icedit train: "):
                raise
            raise unusable(path, problem) from problem

    def _write_adapter(self, path: Path) -> None:
        spec = self.config.adapter
        facts = {"rank": spec.rank, "alpha": spec.alpha, "top_k": spec.top_k, "prompt": self.config.data.prompt}
        facts["step"] = self.learner.step
        save_adapter(path, self.learner.adapter_state(), {name: str(value) for name, value in facts.items()})

    def _validate(self) -> None:
        """Paint the rows that were held out; the main process does, the others wait."""
        if self.main:
            learner, path = self.learner, self.out / "validation" / f"{self.learner.step:08d}.png"
            rows = range(learner.rows, len(learner.cache))
            with learner.averaged(), self.accelerator.autocast():
                picture = validation.paint(
                    learner.trainable, learner.base, learner.cache, rows, self.config.validation, learner.to_device,
                    self.words,
                )  # fmt: skip
            validation.save_picture(picture, path)
            log.info("step %d: painted %s", learner.step, path)
            self._tell("validated", {"step": learner.step, "path": path})
        self.accelerator.wait_for_everyone()

    def _report(self, losses: list[float]) -> dict[str, Any]:
        cache = self.learner.cache
        return {
            "adapter": "adapter.safetensors",
            "steps": self.learner.step,
            "global_batch": global_batch(self.config, self.accelerator.num_processes),
            "trained_parameters": sum(p.numel() for p in self.learner.parameters.values()),
            "seconds": round(self.seconds, 1),
            "median_loss_of_the_last_50_steps": statistics.median(losses[-50:]),
            "rows": {
                "trained_on": self.learner.rows,
                "held_out": self.config.held_out,
                "skipped": len(cache.broken),
                "reasons": [{"row": key, "reason": reason} for key, reason in cache.broken],
            },
            "tokens_per_expert": self.router.total,
            "config": flat(self.config),
        }
