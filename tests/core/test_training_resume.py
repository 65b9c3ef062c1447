"""Killed at any point, a training ends with the bits of an uninterrupted one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from icedit_core.training import loop
from icedit_core.training.checkpoint import Checkpoints

from . import training_world as world

WORKER = Path(__file__).with_name("training_worker.py")
posix_only = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked, to start in no time")
MORE = {"ema": {"decay": 0.9}, "validation": {"every": 4, "rows": 2, "steps": 2}}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return world.write_rows(tmp_path_factory.mktemp("data") / "pairs")


def in_children(jobs: list[dict], folder: Path) -> list[int]:
    """Run jobs one after the other, each in a process of its own; their exit codes."""
    (folder / "jobs.json").write_text(json.dumps({"fork": True, "jobs": jobs}), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, str(WORKER), str(folder / "jobs.json")], capture_output=True, text=True, timeout=900
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


def same_end(one: Path, other: Path) -> bool:
    """Whether two output folders hold the same adapter, state and loss curve, bit for bit."""
    a, b = (load_file(out / "adapter.safetensors") for out in (one, other))
    last = [torch.load(out / "checkpoints" / "step-00000008" / "state.pt", weights_only=True) for out in (one, other)]
    tables = [[(out / name).read_text() for name in ("loss.csv", "router.csv")] for out in (one, other)]
    return (
        a.keys() == b.keys()
        and all(torch.equal(a[name], b[name]) for name in a)
        and all(identical(last[0][part], last[1][part]) for part in ("parameters", "optimiser", "average", "router"))
        and tables[0] == tables[1]
    )


def identical(one, other) -> bool:
    """Equal to the bit, through dicts and lists."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(identical(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(identical, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


OPTIMISERS = [{"name": "adamw", "lr": 1e-2}, {"name": "prodigy", "lr": 1.0}]


@posix_only
@pytest.mark.parametrize(
    ("optimisers", "files", "steps"), [(OPTIMISERS[:1], 2, 1), pytest.param(OPTIMISERS, 6, 2, marks=pytest.mark.slow)]
)
def test_killed_at_random_points_again_and_again_it_ends_with_the_same_bits(data, tmp_path, optimisers, files, steps):
    """File events lie in the building of the cache, the writing of a checkpoint and the dropping of an old one."""
    draw, counts, jobs, kills = random.Random(), str(tmp_path / "counts.json"), [], []
    for optimiser in optimisers:
        whole, killed = (
            world.values(data, tmp_path / f"{optimiser['name']}-{end}", optimiser=optimiser, **MORE)
            for end in ("whole", "killed")
        )
        points = [{"event": "file", "share": draw.random()} for _ in range(files)]
        points += [{"event": "step", "share": 0.4 * draw.random()} for _ in range(steps)]
        draw.shuffle(points)
        kills.append(points)
        jobs += [{"values": whole, "count": counts}]
        jobs += [{"values": killed, "kill": {**point, "of": counts}} for point in points] + [{"values": killed}]
    codes = in_children(jobs, tmp_path)
    assert set(codes) == {0, -signal.SIGKILL}, (codes, kills)
    for optimiser in optimisers:
        assert same_end(*(tmp_path / f"{optimiser['name']}-{end}" for end in ("whole", "killed"))), (codes, kills)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Path:
    """The output of a training that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole")
    loop.train(world.config(data, out, **MORE), base=world.base())
    return out


def signals_at(step: int, number: int):
    def on_event(kind: str, values: dict) -> None:
        if kind == "step" and values["step"] == step:
            os.kill(os.getpid(), number)

    return on_event


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops_and_the_same_command_goes_on(data, whole, tmp_path, number):
    settings, before = world.config(data, tmp_path, **MORE), signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt, match="stopped after step 5; the same command"):
        loop.train(settings, base=world.base(), on_event=signals_at(4, number))
    assert signal.getsignal(number) is before
    assert Checkpoints(tmp_path / "checkpoints", 2).steps() == [3, 5]
    seen = []
    loop.train(settings, base=world.base(), on_event=lambda kind, values: seen.append((kind, values["step"])))
    assert seen[0] == ("start", 5)
    assert same_end(whole, tmp_path)


def test_a_finished_training_run_again_only_writes_its_results(data, whole):
    before, seen = load_file(whole / "adapter.safetensors"), []
    (whole / "adapter.safetensors").unlink()
    loop.train(world.config(data, whole, **MORE), base=world.base(), on_event=lambda kind, _: seen.append(kind))
    assert seen == ["start"]
    assert identical(before, load_file(whole / "adapter.safetensors"))


def test_a_training_at_a_constant_rate_may_be_prolonged(data, whole, tmp_path):
    loop.train(world.config(data, tmp_path, train={"steps": 6}, **MORE), base=world.base())
    loop.train(world.config(data, tmp_path, **MORE), base=world.base())
    assert same_end(whole, tmp_path)


def test_another_configuration_does_not_go_on_and_never_sets_the_old_checkpoints_aside(data, tmp_path):
    loop.train(world.config(data, tmp_path), base=world.base())
    other = world.config(data, tmp_path, train={"seed": 1}, adapter={"rank": 4})
    with pytest.raises(
        ValueError, match=r"another training: adapter.rank was 2 and is 4; train.seed was 0 and is 1; but"
    ):
        loop.train(other, base=world.base())
    loop.train(other, base=world.base(), resume="never")
    assert Checkpoints(tmp_path / "checkpoints-old-1", 2).steps() == [6, 8]
    assert Checkpoints(tmp_path / "checkpoints", 2).steps() == [6, 8]
    with pytest.raises(ValueError, match="another training: adapter.rank was 4 and is 2"):
        loop.train(world.config(data, tmp_path), base=world.base())


def test_a_state_of_another_layout_is_said(data, tmp_path):
    loop.train(world.config(data, tmp_path), base=world.base())
    file = tmp_path / "checkpoints" / "step-00000008" / "state.pt"
    state = torch.load(file, weights_only=True)
    state["parameters"].popitem()
    torch.save(state, file)
    file.with_name("state.sha256").unlink()
    with pytest.raises(ValueError, match="parameters of another layout"):
        loop.train(world.config(data, tmp_path), base=world.base())


def test_other_data_does_not_go_on(data, tmp_path):
    loop.train(world.config(data, tmp_path), base=world.base())
    other = world.write_rows(tmp_path / "other", count=world.ROWS - 1, broken=False)
    with pytest.raises(ValueError, match="the data was .*usable rows was 11 and is 10"):
        loop.train(world.config(other, tmp_path), base=world.base())


class TestCheckpoints:
    def save(self, checkpoints: Checkpoints, step: int) -> Path:
        return checkpoints.save(step, {"step": step}, lambda path: path.write_bytes(b"adapter"))

    def test_the_newest_stay_and_traces_of_an_interruption_go(self, tmp_path):
        checkpoints = Checkpoints(tmp_path / "c", keep=2)
        for trace in (".writing-00000009", ".removing-00000001"):
            (tmp_path / "c" / trace).mkdir(parents=True)
            (tmp_path / "c" / trace / "state.pt").write_bytes(b"half")
        assert checkpoints.steps() == []
        for step in (9, 20, 100):
            self.save(checkpoints, step)
        assert checkpoints.steps() == [20, 100]
        assert checkpoints.load(100) == {"step": 100}
        assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["step-00000020", "step-00000100"]

    def test_a_damaged_one_is_named(self, tmp_path):
        checkpoints = Checkpoints(tmp_path, keep=2)
        file = self.save(checkpoints, 7) / "state.pt"
        file.write_bytes(file.read_bytes()[:50])
        with pytest.raises(ValueError, match=r"step-00000007 cannot be read .* Delete this folder"):
            checkpoints.load(7)
