"""The trainer's TOML file as pydantic dataclasses; the defaults are the published training's.

Source: River-Zhang/ICEdit, train/train/config/moe_lora.yaml (batch, accumulation, optimiser, rank, text dropout);
the clip of 0.5 is what its training loop applies when the file names none.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from .fields import RULES, FilePath, Flag, Number, Whole, build
from .spec import AdapterSpec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LEARNING_RATE = {"prodigy": 1.0, "adamw": 1e-4}


@dataclass(frozen=True, config=RULES)
class Model:
    base: FilePath
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    tokenizer: FilePath = ""
    adapter: FilePath = ""


Side = Annotated[Whole, Field(ge=16, multiple_of=16)]  # px


@dataclass(frozen=True, config=RULES)
class Data:
    path: FilePath
    format: Literal["folder", "magicbrush", "omniedit"] = "folder"
    panel: tuple[Side, Side] = (512, 512)
    fit: Literal["stretch", "crop"] = "stretch"
    prompt: Literal["ic", "direct"] = "ic"
    cache: FilePath = ""


@dataclass(frozen=True, config=RULES)
class Train:
    steps: Whole = Field(ge=1)
    batch: Whole = Field(default=1, ge=1)
    accumulate: Whole = Field(default=2, ge=1)
    mixed_precision: Literal["bf16", "no"] = "bf16"
    gradient_checkpointing: Flag = False
    compile: Flag = False
    seed: Whole = Field(default=0, ge=0, le=2**63 - 1)
    text_dropout: Number = Field(default=0.1, ge=0, le=1)
    log_every: Whole = Field(default=50, ge=1)


Share = Annotated[Number, Field(ge=0, lt=1)]


@dataclass(frozen=True, config=RULES)
class Optimiser:
    name: Literal["prodigy", "adamw"] = "prodigy"
    lr: Number = Field(default=0.0, ge=0)
    weight_decay: Number = Field(default=0.01, ge=0)
    betas: tuple[Share, Share] = (0.9, 0.999)
    clip: Number = Field(default=0.5, ge=0)
    warmup: Whole = Field(default=0, ge=0)
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    decay_from: Share = 0.0

    @property
    def rate(self) -> float:
        """The learning rate; 0 stands for the optimiser's usual one."""
        return self.lr or LEARNING_RATE[self.name]


@dataclass(frozen=True, config=RULES)
class Loss:
    left_weight: Number = Field(default=1.0, ge=0)
    changed_weight: Number = Field(default=1.0, gt=0)
    small_edit_boost: Number = Field(default=1.0, ge=1)
    time_mean: Number = 0.0
    time_std: Number = Field(default=1.0, ge=0)
    time_uniform: Number = Field(default=0.0, ge=0, le=1)


@dataclass(frozen=True, config=RULES)
class Average:
    decay: Share = 0.0


@dataclass(frozen=True, config=RULES)
class Validation:
    every: Whole = Field(default=500, ge=0)
    rows: Whole = Field(default=4, ge=1, le=64)
    steps: Whole = Field(default=28, ge=1)
    guidance: Number = Field(default=50.0, ge=0)
    seed: Whole = Field(default=0, ge=0, le=2**63 - 1)


@dataclass(frozen=True, config=RULES)
class Output:
    folder: FilePath
    save_every: Whole = Field(default=500, ge=1)
    keep: Whole = Field(default=2, ge=1)


@dataclass(frozen=True, config=RULES)
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
