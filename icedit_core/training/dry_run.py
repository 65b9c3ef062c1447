"""What a training would do, said before anything long starts: config, data, base, memory, disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from ..prompt import TEMPLATES, wrap
from .base import Base, load_base
from .cache_build import PROMPTS, expected_bytes
from .checkpoint import Checkpoints
from .config import Config, global_batch
from .data import BrokenRow, Rows, open_rows
from .learner import adapter_file
from .memory import FLUX_FILL, Memory, compute, image_tokens
from .setup import in_time

LOOKED_AT = 500  # rows that are opened; more are sampled evenly
FEW = 200  # pairs
NAMED = 20  # broken rows that are named
GPU, CPU = 100, 0.1  # TFLOP a second, for an estimate
GIB = 2**30
Say = Callable[[str], None]


def run(config: Config, resume: str, say: Say) -> list[str]:
    """Say, line by line, what a training would do; returns the problems that keep it from starting."""
    problems: list[str] = []
    base = _base(say, config, problems)
    _adapter(say, config, problems)
    rows = _data(say, config, base, problems)
    _plan(say, config, rows, resume)
    try:
        if base is None:  # what it takes is not known, but FLUX.1-Fill-dev shows whether the layers' names fit
            compute(FLUX_FILL, config, checkpointing=True)
        else:
            needed = _memory(say, config, base)
            _time(say, config, base, needed)
            _disk(say, config, base, rows, needed)
    except ValueError as problem:
        problems.append(str(problem))
    return problems


def _base(say: Say, config: Config, problems: list[str]) -> Base | None:
    """The base, of which nothing heavy is read."""
    try:
        base = load_base(config.model.base, getattr(torch, config.model.dtype), tokenizer=config.model.tokenizer)
        size = base.config["num_layers"], base.config["num_single_layers"]
    except ValueError as problem:
        problems.append(str(problem))
        return None
    say(f"base     {config.model.base}: {size[0]} double and {size[1]} single blocks, {config.model.dtype}")
    return base


def _adapter(say: Say, config: Config, problems: list[str]) -> None:
    """The file to begin from, if any; whether it fits the layers is only seen when it is loaded."""
    if config.model.adapter:
        try:
            say(f"adapter  begins from {config.model.adapter}, {len(adapter_file(config.model.adapter))} tensors")
        except ValueError as problem:
            problems.append(str(problem))


def _data(say: Say, config: Config, base: Base | None, problems: list[str]) -> Rows | None:
    """The rows, up to `LOOKED_AT` of them opened."""
    try:
        rows = open_rows(config.data)
        chosen = range(0, len(rows), max(1, -(-len(rows) // LOOKED_AT)))
        broken = [found for index in chosen if (found := _why_broken(config, base, rows, index))]
    except ValueError as problem:
        problems.append(str(problem))
        return None
    what = "all of them opened" if len(chosen) == len(rows) else f"{len(chosen)} of them opened, evenly spread"
    say(f"data     {config.data.path}: {len(rows)} rows, {what}, {len(broken)} broken")
    for line in broken[:NAMED]:
        say(f"         left out: {line}")
    if len(broken) > NAMED:
        say(f"         and {len(broken) - NAMED} more")
    usable = len(rows) - len(broken)
    if usable <= config.held_out:
        problems.append(f"{usable} usable rows, but more than the {config.held_out} of validation.rows are needed.")
    elif usable - config.held_out < FEW:
        say(
            f"         {usable - config.held_out} pairs are few: enough to try, or to teach one kind of edit; "
            "hundreds for each kind are better, and the published training had some 50 000"
        )
    return rows


def _why_broken(config: Config, base: Base | None, rows: Rows, index: int) -> str:
    try:
        row = rows[index]
    except BrokenRow as problem:
        return str(problem)
    prompt = wrap(row.instruction, TEMPLATES[PROMPTS[config.data.prompt]])
    reason = base.prompt_problem(prompt) if base else None
    return f"{row.key}: the prompt {reason}" if reason else ""


def _plan(say: Say, config: Config, rows: Rows | None, resume: str) -> None:
    train, out = config.train, Path(config.output.folder)
    samples = train.steps * global_batch(config, 1)
    epochs = (
        f", {samples / (len(rows) - config.held_out):.1f} times the data"
        if rows and len(rows) > config.held_out
        else ""
    )
    say(
        f"plan     {train.steps} steps of {train.batch} x {train.accumulate} samples a process{epochs} with one process"
    )
    done = max(Checkpoints(out / "checkpoints", config.output.keep).steps(), default=0)
    if done and resume == "auto":
        say(f"         goes on from step {done} in {out}, if nothing else was changed")
    elif done:
        say(f"         starts anew; the checkpoints in {out} are set aside")


def _memory(say: Say, config: Config, base: Base) -> Memory:
    """Say the table; returns what the configured training needs."""
    flux, text = base.config, base.text_tokens
    sample = f"{image_tokens(config.data.panel)} image + {text} text tokens"
    say(f"memory   computed, not measured; GiB a device; {config.train.batch} x ({sample})")
    say("         checkpointing   base  adapter  gradients  optimiser  average  activations   sum")
    found = {on: compute(flux, config, checkpointing=on, text_tokens=text) for on in (False, True)}
    for on, memory in found.items():
        parts = (memory.base, memory.adapter, memory.gradients, memory.optimiser, memory.average, memory.activations)
        columns = "".join(f"{part / GIB:>{width}.2f}" for part, width in zip(parts, (7, 9, 11, 11, 9, 13), strict=True))
        mark = "  <- configured" if on == config.train.gradient_checkpointing else ""
        say(f"         {'with' if on else 'without':<13}{columns}{memory.total / GIB:>6.1f}{mark}")
    say("         not in it: passing buffers of the backward pass, libraries, fragments: leave 2 GiB or more")
    if torch.cuda.is_available():
        say(f"         this GPU has {torch.cuda.get_device_properties(0).total_memory / GIB:.1f} GiB")
    return found[config.train.gradient_checkpointing]


def _time(say: Say, config: Config, base: Base, memory: Memory) -> None:
    """Say how much there is to compute: two operations a weight and token forward, as many back, one more forward
    pass with checkpointing. Attention between tokens and what the adapter adds come on top."""
    tokens = image_tokens(config.data.panel) + base.text_tokens
    passes = 3 if config.train.gradient_checkpointing else 2
    weights = memory.base / getattr(torch, config.model.dtype).itemsize
    step = 2 * passes * weights * tokens * config.train.batch * config.train.accumulate / 1e12
    device, speed = ("GPU", GPU) if torch.cuda.is_available() else ("CPU", CPU)
    whole = in_time(step * config.train.steps / speed)
    say(
        f"time     about {step:.3g} TFLOP a step (computed): {whole} for a {device} of {speed:g} TFLOP a second, "
        "others in proportion. Once it runs, the log says the time left, measured, from step 3 on"
    )


def _disk(say: Say, config: Config, base: Base, rows: Rows | None, memory: Memory) -> None:
    """Say what the checkpoints and the cache take."""
    one = 2 * memory.adapter + memory.optimiser + memory.average
    words = f"disk     checkpoints up to {(config.output.keep + 1) * one / GIB:.2f} GiB"  # one more while it is written
    if rows:
        cache = expected_bytes(len(rows), base, config.data.panel)
        words += f", cache up to {cache / GIB:.2f} GiB if every instruction differs"
    out = Path(config.output.folder)
    place = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    say(f"{words} (computed); {shutil.disk_usage(place).free / GIB:.1f} GiB free at {place}")
