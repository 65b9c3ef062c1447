"""The trainer's TOML file as dataclasses; the defaults are the published training's.

Source: River-Zhang/ICEdit, train/train/config/moe_lora.yaml (batch, accumulation, optimiser, rank, text dropout);
the clip of 0.5 is what its training loop applies when the file names none.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .fields import build, key
from .spec import AdapterSpec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LEARNING_RATE = {"prodigy": 1.0, "adamw": 1e-4}


@dataclass(frozen=True)
class Model:
    base: str = key(path=True)
    dtype: str = key("bfloat16", choices=("bfloat16", "float32"))
    tokenizer: str = key("", path=True)
    adapter: str = key("", path=True)


@dataclass(frozen=True)
class Data:
    path: str = key(path=True)
    format: str = key("folder", choices=("folder", "magicbrush", "omniedit"))
    panel: tuple[int, int] = key((512, 512), least=16, multiple=16)
    fit: str = key("stretch", choices=("stretch", "crop"))
    prompt: str = key("ic", choices=("ic", "direct"))
    cache: str = key("", path=True)


@dataclass(frozen=True)
class Train:
    steps: int = key(least=1)
    batch: int = key(1, least=1)
    accumulate: int = key(2, least=1)
    mixed_precision: str = key("bf16", choices=("bf16", "no"))
    gradient_checkpointing: bool = key(False)
    compile: bool = key(False)
    seed: int = key(0, least=0, most=2**63 - 1)
    text_dropout: float = key(0.1, least=0, most=1)
    log_every: int = key(50, least=1)


@dataclass(frozen=True)
class Optimiser:
    name: str = key("prodigy", choices=tuple(LEARNING_RATE))
    lr: float = key(0.0, least=0)
    weight_decay: float = key(0.01, least=0)
    betas: tuple[float, float] = key((0.9, 0.999), least=0, below=1)
    clip: float = key(0.5, least=0)
    warmup: int = key(0, least=0)
    schedule: str = key("constant", choices=("constant", "cosine", "linear"))
    decay_from: float = key(0.0, least=0, below=1)

    @property
    def rate(self) -> float:
        """The learning rate; 0 stands for the optimiser's usual one."""
        return self.lr or LEARNING_RATE[self.name]


@dataclass(frozen=True)
class Loss:
    left_weight: float = key(1.0, least=0)
    changed_weight: float = key(1.0, above=0)
    small_edit_boost: float = key(1.0, least=1)
    time_mean: float = key(0.0)
    time_std: float = key(1.0, least=0)
    time_uniform: float = key(0.0, least=0, most=1)


@dataclass(frozen=True)
class Average:
    decay: float = key(0.0, least=0, below=1)


@dataclass(frozen=True)
class Validation:
    every: int = key(500, least=0)
    rows: int = key(4, least=1, most=64)
    steps: int = key(28, least=1)
    guidance: float = key(50.0, least=0)
    seed: int = key(0, least=0, most=2**63 - 1)


@dataclass(frozen=True)
class Output:
    folder: str = key(path=True)
    save_every: int = key(500, least=1)
    keep: int = key(2, least=1)


@dataclass(frozen=True)
class Config:
    """All sections; every key and its default is described in docs/training.md."""

    model: Model
    data: Data
    train: Train
    output: Output
    adapter: AdapterSpec = field(default_factory=AdapterSpec)
    optimiser: Optimiser = field(default_factory=Optimiser)
    loss: Loss = field(default_factory=Loss)
    ema: Average = field(default_factory=Average)
    validation: Validation = field(default_factory=Validation)

    @property
    def cache_folder(self) -> Path:
        return Path(self.data.cache or Path(self.output.folder) / "cache")

    @property
    def held_out(self) -> int:
        """Rows at the end of the data that are painted for validation and never trained on."""
        return self.validation.rows if self.validation.every else 0


def load(path: Path | str) -> Config:
    """Read a TOML file; relative paths in it start at its own folder.

    Raises:
        ValueError: not TOML, an unknown key, a wrong type or a value out of range.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # a byte-order mark is no TOML
    except OSError as problem:
        raise ValueError(f"{path}: cannot be read ({problem.strerror}), but a TOML file is needed.") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ValueError(f"{path}: {problem}, but a TOML file is needed. Correct it.") from problem
    return parse(values, who=str(path), folder=path.absolute().parent)


def parse(values: Mapping[str, Any], who: str = "icedit train", folder: Path | None = None) -> Config:
    """A mapping of sections to a checked configuration.

    Args:
        values: section -> key -> value.
        who: what errors name, the file.
        folder: where relative paths start; None leaves them as they are.
    """
    config = build(Config, values, who, folder)
    if config.loss.left_weight == 0 and config.loss.changed_weight == 0:
        raise ValueError(f"{who}: both weights of [loss] are 0, but something must be learnt. Raise one.")
    return config


def flat(config: Config) -> dict[str, Any]:
    """`section.key` -> value, in plain types."""
    return {
        f"{section}.{name}": list(value) if isinstance(value, (tuple, list)) else value
        for section, values in asdict(config).items()
        for name, value in values.items()
    }


FREE = (
    "model.base", "model.tokenizer", "data.path", "data.cache",
    "train.compile", "train.gradient_checkpointing", "train.log_every",
)  # fmt: skip
"""May change between a checkpoint and its continuation: rows and base are recognised by what they hold.
Compiling and checkpointing change the arithmetic in its last bits only."""


def identity(config: Config, processes: int) -> dict[str, Any]:
    """What a checkpoint has in common with the training that goes on from it."""
    kept = {
        name: value
        for name, value in flat(config).items()
        if name not in FREE and not name.startswith(("output.", "validation.", "train.batch", "train.accumulate"))
    }
    if config.optimiser.schedule == "constant":
        del kept["train.steps"]  # nothing before the end depends on it: a training may be prolonged
    kept["rows held out (validation.rows)"] = config.held_out
    kept["global batch (train.batch x train.accumulate x processes)"] = global_batch(config, processes)
    return kept


def global_batch(config: Config, processes: int) -> int:
    """Samples of one optimiser step."""
    return config.train.batch * config.train.accumulate * processes
