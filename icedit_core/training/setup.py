"""Everything a training needs, opened and checked: processes, base, rows, cache."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import torch

from .base import Base, load_base
from .cache import Cache, build_cache
from .config import Config
from .data.rows import Rows

if TYPE_CHECKING:
    from accelerate import Accelerator

log = logging.getLogger(__name__)
CACHE_TIMEOUT = timedelta(days=2)  # the other processes wait for the one that fills the cache
SAY_EVERY = 10.0  # seconds


def make_accelerator(config: Config) -> Accelerator:
    """accelerate's view of this process among the others.

    Raises:
        ValueError: a way of sharing the work that splits the model, which this trainer does not do.
    """
    from accelerate import Accelerator, DistributedType, InitProcessGroupKwargs

    accelerator = Accelerator(
        mixed_precision=config.train.mixed_precision,
        gradient_accumulation_steps=config.train.accumulate,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=CACHE_TIMEOUT)],
    )
    splitting = {DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM}
    if accelerator.distributed_type in splitting:
        raise ValueError(
            f"icedit train: accelerate is set to {accelerator.distributed_type.value}, but each process holds a whole "
            "model here. Run 'accelerate config' and choose data parallelism (multi-GPU or multi-CPU) alone."
        )
    return accelerator


def open_base(config: Config, device: torch.device) -> Base:
    """The base that the config names."""
    return load_base(config.model.base, getattr(torch, config.model.dtype), device, config.model.tokenizer)


def open_cache(config: Config, rows: Rows, base: Base, accelerator: Accelerator) -> Cache:
    """The encoded rows; the main process encodes what is missing while the others wait.

    Raises:
        ValueError: fewer rows than validation holds out and training needs.
    """
    with accelerator.main_process_first():
        cache = build_cache(
            rows,
            base,
            panel=config.data.panel,
            prompt=config.data.prompt,
            fit=config.data.fit,
            folder=config.cache_folder,
            progress=_progress() if accelerator.is_main_process else None,
        )
    base.drop_encoders(keep_autoencoder=config.validation.every > 0)
    if len(cache) <= config.held_out:
        raise ValueError(
            f"icedit train: {len(cache)} usable rows, but {config.held_out} are held out for validation and at least "
            "one must be left. Give more rows, lower validation.rows, or set validation.every = 0."
        )
    return cache


def _progress() -> Callable[[str, int, int], None]:
    """Says how far the encoding is, now and then, with the rate and the time left."""
    said: dict[str, tuple[float, int]] = {}

    def progress(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        then, before = said.setdefault(what, (now, done))
        if done < total and now - then < SAY_EVERY:
            return
        said[what] = now, done
        rate = (done - before) / (now - then) if now > then else 0.0  # since the last line
        pace = f", {rate:.1f} a second, {in_time((total - done) / rate)} left" if rate else ""
        log.info("encoded: %d of %d %s%s", done, total, what, pace)

    return progress


def in_time(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))
