"""What strangers' files come in, whole ones to begin with, and what is right once some were changed.

A changed folder is refused by a ValueError of ours, or what is read of it is what it says; both within bounds.
"""

from __future__ import annotations

import copy
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from devtools.bench.adapter_check import Find, judge, peak_bytes
from icedit_core.adapters import files
from icedit_core.folder_lock import FolderLock
from icedit_core.judges import peft_folder, transformers_judge
from icedit_core.training import loop as training_loop
from icedit_core.training.base import Base
from icedit_core.training.checkpoint import HASH, STATE, Checkpoints
from icedit_core.training.data import BrokenRow, Row, open_rows

from . import tiny_vlm, training_samples, training_world
from .mutation_table import Files

MOST_SECONDS = 5.0  # of CPU time
MOST_GROWTH = 200 << 20  # bytes that one case may add to the peak of this process
MOST_SPACE = 2 << 30  # of addresses: what is allocated by a file's claim ends in MemoryError, and is a find
FIXTURES = Path(__file__).parents[1] / "fixtures"


class Kind:
    """One kind of folder.

    Attributes:
        name: of the kind.
        whole: the files that are changed.
        among: names of those that are changed; all if empty.
    """

    name = ""
    among: tuple[str, ...] = ()

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch / self.name
        self.whole = self.make(scratch / f"{self.name}-whole")

    def make(self, folder: Path) -> Files:
        """A whole folder's files."""
        raise NotImplementedError

    def check(self, folder: Path) -> None:
        """Read the folder; ValueError refuses it, Find tells what is not right."""
        raise NotImplementedError

    def outcome(self, files: Files) -> str:
        """`read`, or why it was refused.

        Raises:
            Find: any other exception, words nobody can use, what was read is not what is there, or out of bounds.
        """
        shutil.rmtree(self.scratch, ignore_errors=True)
        write(self.scratch, files)
        try:
            with bounded():
                self.check(self.scratch)
        except (Find, KeyboardInterrupt):
            raise
        except ValueError as error:
            _check_words(error)
            return str(error)
        except BaseException as error:  # a find is whatever else comes out, panics of native code included
            raise Find(f"{type(error).__name__}: {str(error)[:300]}") from error
        return "read"


def write(folder: Path, files: Files) -> None:
    folder.mkdir(parents=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, bytes):
            path.write_bytes(data)
        elif data == "folder":
            path.mkdir()
        elif data == "pipe" and hasattr(os, "mkfifo"):
            os.mkfifo(path)
        elif data == "circle":
            path.symlink_to(path)


def read_files(folder: Path) -> Files:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@contextmanager
def bounded() -> Iterator[None]:
    """Raise Find if it takes too long or too much memory."""
    began, peak = time.process_time(), peak_bytes()
    with _little_space():
        yield
    if (took := time.process_time() - began) > MOST_SECONDS:
        raise Find(f"slow: {took:.1f} s of CPU time")
    if (grown := peak_bytes() - peak) > MOST_GROWTH:
        raise Find(f"memory: the peak grew by {grown >> 20} MiB")


@contextmanager
def _little_space() -> Iterator[None]:
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_SPACE, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _check_words(error: ValueError) -> None:
    words, cause = str(error), error.__cause__ or error.__context__
    if not words.startswith(("ICEdit ", "icedit train: ", "training data: ")):
        raise Find(f"does not say who speaks: {words[:300]}") from error
    if not words.isprintable() or len(words) > 2000 or ". " not in words:
        raise Find(f"cannot be used as a sentence: {words[:300]}") from error
    while cause is not None:
        if isinstance(cause, MemoryError):
            raise Find(f"it was allocated before it was refused: {words[:300]}") from error
        cause = cause.__cause__ or cause.__context__


class LoRA(Kind):
    """A LoRA's file, as ICEdit Load LoRA reads it."""

    name = "lora"

    def make(self, folder: Path) -> Files:
        published = FIXTURES / "icedit_moe" / "pytorch_lora_weights.safetensors"
        tensors = load_file(published)
        few = {key: tensor for key, tensor in tensors.items() if key.split(".lora_")[0] in _first_layers(tensors, 2)}
        folder.mkdir()
        files.save(folder / "a.safetensors", few, {"top_k": "1"})
        return read_files(folder)

    def check(self, folder: Path) -> None:
        file = folder / "a.safetensors"
        if not file.is_file():
            files.load(file)  # refused, whatever it is
        outcome = judge(file)
        if outcome.kind == "refused":
            raise ValueError(outcome.words)


def _first_layers(tensors: dict[str, torch.Tensor], count: int) -> list[str]:
    return list(dict.fromkeys(key.split(".lora_")[0] for key in sorted(tensors)))[:count]


class Peft(Kind):
    """A peft adapter's folder, merged into a judge's model."""

    name = "peft"

    def make(self, folder: Path) -> Files:
        model = tiny_vlm.save(folder / "model")
        self._base, _ = transformers_judge.load(model, None, torch.float32)
        adapter = tiny_vlm.save_adapter(model, folder / "adapter")
        return {name: data for name, data in read_files(adapter).items() if not name.endswith(".md")}

    def check(self, folder: Path) -> None:
        model = copy.deepcopy(self._base)
        peft_folder.merge(model, folder)
        config = peft_folder.read_json(folder / peft_folder.CONFIG)
        weights = load_file(folder / peft_folder.WEIGHTS)
        expected = dict(self._base.state_dict())
        weights = {key.removeprefix("base_model.model."): tensor for key, tensor in weights.items()}
        for key in [key for key in weights if ".lora_A." in key]:
            down, up = weights[key].float(), weights[key.replace("lora_A", "lora_B")].float()
            layer = key.split(".lora_A")[0]
            rank = len(down) ** (0.5 if config.get("use_rslora") else 1)
            alpha = config.get("lora_alpha", 8)
            alpha = next((a for n, a in (config.get("alpha_pattern") or {}).items() if layer.endswith(n)), alpha)
            expected[f"{layer}.weight"] = expected[f"{layer}.weight"] + alpha / rank * (up @ down)
        for name, parameter in model.state_dict().items():
            if not parameter.isfinite().all() or not torch.allclose(parameter, expected[name], rtol=1e-3, atol=1e-4):
                raise Find(f"{name} is not the sum that the adapter says")


class Model(Kind):
    """A judge's model folder: loaded, and asked once."""

    name = "model"

    def make(self, folder: Path) -> Files:
        return read_files(tiny_vlm.save(folder))

    def check(self, folder: Path) -> None:
        model, processor = transformers_judge.load(folder, None, torch.float32)
        with safe_open(str(folder / "model.safetensors"), "pt") as file:
            own = model.state_dict()
            for name in file.keys():
                if name in own and not torch.equal(own[name], file.get_tensor(name).float()):
                    if not (file.get_tensor(name).isnan().any() or own[name].is_meta):
                        raise Find(f"{name} is not what the file says")
        judge = transformers_judge.TransformersJudge("tiny", lambda: (model, processor), lambda: None)
        asked = judge.ask([torch.full((32, 32, 3), 0.5)], "Which?", 2)
        try:
            while True:
                asked.send(None)
        except StopIteration as end:
            chances = (end.value.probabilities or {}).values()
            if not all(0 <= chance <= 1.001 for chance in chances):
                raise Find(f"probabilities {list(chances)[:5]}") from None


class Data(Kind):
    """Training rows: each is itself, or one broken row."""

    format = "folder"

    def rows_of(self, folder: Path) -> Path:
        return folder

    def check(self, folder: Path) -> None:
        rows = open_rows(_Source(self.format, self.rows_of(folder)))
        if not rows.fingerprint() or len(rows) > 1 << 40:
            raise Find(f"{len(rows)} rows")
        for index in range(min(len(rows), 8)):
            try:
                row = rows[index]
            except BrokenRow as broken:
                if not str(broken).isprintable() or len(str(broken)) > 1300:
                    raise Find(f"cannot be used as a sentence: {str(broken)[:300]}") from None
            else:
                _check_row(row)


class _Source:
    def __init__(self, kind: str, path: Path) -> None:
        self.format, self.path = kind, path


def _check_row(row: Row) -> None:
    row.instruction.encode()
    if {row.source.mode, row.target.mode} != {"RGB"} or not row.instruction.strip() or not row.key.isprintable():
        raise Find(f"row {row.key!r} of {row.source.mode}, {row.target.mode}: {row.instruction!r}")
    if row.task is not None and not isinstance(row.task, str):
        raise Find(f"task {row.task!r}")
    if not math.prod(row.source.size) * math.prod(row.target.size):
        raise Find("an empty picture")
    row.source.getpixel((0, 0))


class Folder(Data):
    name = "folder"

    def make(self, folder: Path) -> Files:
        return read_files(training_samples.write_folder(folder, 3, (16, 16)))


class Parquet(Data):
    name, format = "parquet", "magicbrush"

    def make(self, folder: Path) -> Files:
        small = [training_samples.magicbrush_row(seed, **_small(seed)) for seed in range(5)]
        training_samples.write_parquet(folder / "a.parquet", small, training_samples.MAGICBRUSH, group=3)
        return read_files(folder)


class Arrow(Data):
    name, format = "arrow", "omniedit"

    def make(self, folder: Path) -> Files:
        pictures = {"src_img": training_samples.cell(training_samples.picture(1, (16, 16)))}
        pictures["edited_img"] = training_samples.cell(training_samples.picture(2, (16, 16)))
        rows = [training_samples.omniedit_row(seed, **pictures) for seed in range(4)]
        training_samples.write_arrow(folder / "a.arrow", rows, training_samples.OMNIEDIT)
        return read_files(folder)


def _small(seed: int) -> dict:
    return {
        name: training_samples.cell(training_samples.picture(seed + number, (16, 16)))
        for number, name in enumerate(("source_img", "mask_img", "target_img"))
    }


class Checkpoint(Kind):
    """A checkpoint of `icedit train`, with a hash that is right: gone on from for one step."""

    name = "checkpoint"
    STEP = 6

    def make(self, folder: Path) -> Files:
        pairs = training_world.write_rows(folder / "pairs", 4, broken=False)
        config = training_world.config(pairs, folder / "out", train={"steps": 8, "batch": 1, "accumulate": 1})
        training_loop.train(config, base=(base := training_world.base()))
        self._loop = self._made(config, base)
        kept = Checkpoints(folder / "out" / "checkpoints", 9).path(self.STEP)
        return {STATE: (kept / STATE).read_bytes()}

    def _made(self, config, base: Base) -> training_loop.Loop:
        accelerator = training_loop.make_accelerator(config)
        rows = open_rows(config.data)
        cache = training_loop.open_cache(config, rows, base, accelerator)
        learner = training_loop.Learner(config, accelerator, base, cache)
        lock = FolderLock(Path(config.output.folder))
        return training_loop.Loop(learner, rows.fingerprint(), None, lock)

    def check(self, folder: Path) -> None:
        checkpoints = Checkpoints(folder / "checkpoints", 9)
        kept = checkpoints.path(self.STEP)
        kept.mkdir(parents=True)
        if os.path.lexists(folder / STATE):
            (folder / STATE).rename(kept / STATE)
        if (kept / STATE).is_file():
            import hashlib

            (kept / HASH).write_text(hashlib.sha256((kept / STATE).read_bytes()).hexdigest(), encoding="ascii")
        loop, learner = self._loop, self._loop.learner
        loop.checkpoints = checkpoints
        loop._load(self.STEP)
        state = torch.load(kept / STATE, weights_only=True)
        for name, parameter in learner.parameters.items():
            if not torch.equal(parameter.nan_to_num(), state["parameters"][name].float().nan_to_num()):
                raise Find(f"{name} is not what the checkpoint says")
        learner.train_step()
        loop.router.add(learner.trainable.expert_usage(reset=True))
        loop.router.take()


KINDS: tuple[type[Kind], ...] = (LoRA, Peft, Model, Folder, Parquet, Arrow, Checkpoint)
