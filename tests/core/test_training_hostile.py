"""Checkpoints that were changed, folders that two trainings want, disks that are full: a sentence, and nothing lost."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from icedit_core.folder_lock import FolderLock
from icedit_core.training import loop
from icedit_core.training.checkpoint import Checkpoints

from . import training_world as world


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return world.write_rows(tmp_path_factory.mktemp("data") / "pairs")


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    loop.train(world.config(data, out), base=world.base())
    return out


@pytest.fixture
def out(whole, tmp_path) -> Path:
    return shutil.copytree(whole, tmp_path / "out")


def again(data, out) -> Path:
    return loop.train(world.config(data, out), base=world.base())


def newest(out: Path) -> Path:
    return out / "checkpoints" / "step-00000008"


def rewritten(out: Path, state: object) -> None:
    torch.save(state, newest(out) / "state.pt")
    (newest(out) / "state.sha256").unlink()


def test_one_bit_is_noticed_and_the_checkpoint_before_goes_on(data, out, whole):
    file = newest(out) / "state.pt"
    content = bytearray(file.read_bytes())
    content[content.index(b"PK", 4) - 9] ^= 1  # in the numbers of a tensor
    file.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"step-00000008 cannot be read \(state.pt is not what was written: its SHA-256"
    ):
        again(data, out)
    shutil.rmtree(newest(out))
    again(data, out)
    one, other = (load_file(folder / "adapter.safetensors") for folder in (whole, out))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_one_of_before_goes_on_with_a_sentence(data, out, caplog):
    (newest(out) / "state.sha256").unlink()
    with caplog.at_level(logging.WARNING):
        again(data, out)
    assert "step-00000008 has no state.sha256, as those of earlier versions" in caplog.text


def moment(state: dict, **values: object) -> dict:
    """Something else among the optimiser's numbers of the first parameter."""
    before = state["optimiser"]
    moments = {**before["state"], 0: {**before["state"][0], **values}}
    return {**state, "optimiser": {**before, "state": moments}}


LACKING = ("identity", "step", "parameters", "optimiser", "router", "seconds")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: [state], "it holds no training"),
        (lambda state: {**state, "identity": [1]}, "it holds no training"),
        (lambda state: {**state, "step": 5}, "it is of step 5"),
        (lambda state: {**state, "step": "8\x1b[2J"}, r"it is of step 8\x1b"),
        (lambda state: {**state, "router": 3}, "cannot be read"),
        (lambda state: {**state, "parameters": [1]}, "cannot be read"),
        (lambda state: {**state, "optimiser": {"state": 1}}, "cannot be read"),
        (lambda state: {**state, "optimiser": {**state["optimiser"], "param_groups": []}}, "has 0 groups, not 1"),
        (lambda state: moment(state, exp_avg=torch.ones(2)), "exp_avg is of shape (2,), not"),
        (lambda state: moment(state, exp_avg=torch.ones(1).expand(1 << 40)), "exp_avg is of shape (1099511627776,)"),
        (lambda state: moment(state, max_exp_avg_sq=1), "its optimiser has step, exp_avg, exp_avg_sq, max_exp_avg_sq"),
        (lambda state: moment(state, step=torch.tensor(torch.inf)), "its step is no number"),
        (lambda state: {**state, "seconds": "soon"}, "its seconds is no number"),
        (lambda state: {**state, "router": {"recent": {"x": [1]}, "total": {}}}, "of other experts"),
        *(
            (lambda state, name=name: {k: v for k, v in state.items() if k != name}, "cannot be read")
            for name in LACKING
        ),
    ],
)
def test_a_checkpoint_that_is_none_is_a_sentence(data, out, change, words):
    rewritten(out, change(torch.load(newest(out) / "state.pt", weights_only=True)))
    with pytest.raises(ValueError, match="step-00000008 cannot be read .*Delete this folder") as caught:
        again(data, out)
    assert str(caught.value).isprintable() and words in str(caught.value)


def test_a_packed_checkpoint_is_not_unpacked(data, out):
    """Gigabytes of zeros are a few megabytes once packed; torch unpacks them unasked."""
    file = newest(out) / "state.pt"
    with zipfile.ZipFile(file) as before:
        parts = [(name, before.read(name)) for name in before.namelist()]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, part in parts:
            packed.writestr(name, part)
    assert torch.load(file, weights_only=True)["step"] == 8
    (newest(out) / "state.sha256").unlink()
    with pytest.raises(ValueError, match="step-00000008 cannot be read .it is packed, or larger than such"):
        again(data, out)


def test_the_optimisers_settings_are_not_the_checkpoints(data, out, whole):
    state = torch.load(newest(out) / "state.pt", weights_only=True)
    (group,) = state["optimiser"]["param_groups"]
    group |= {"maximize": True, "eps": 5.0, "weight_decay": 9.0, "fused": "x"}
    shutil.rmtree(newest(out))
    older = out / "checkpoints" / "step-00000006"
    earlier = torch.load(older / "state.pt", weights_only=True)
    earlier["optimiser"]["param_groups"] = [group]
    torch.save(earlier, older / "state.pt")
    (older / "state.sha256").unlink()
    again(data, out)
    one, other = (load_file(folder / "adapter.safetensors") for folder in (whole, out))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name are POSIX's")
@pytest.mark.parametrize("name", ["state.pt", "state.sha256"])
def test_a_pipe_does_not_block(data, out, name):
    (newest(out) / name).unlink()
    os.mkfifo(newest(out) / name)
    with pytest.raises(ValueError, match="is no regular file"):
        again(data, out)


def test_two_trainings_do_not_share_a_folder(data, out):
    before = (out / "loss.csv").read_text()
    lock = FolderLock(out)
    lock.take()
    with pytest.raises(ValueError, match="another training writes to .*out, but a folder takes one"):
        again(data, out)
    assert (out / "loss.csv").read_text() == before
    lock.release()
    again(data, out)
    again(data, out)  # which gave it back


def test_a_crash_gives_the_folder_back(out):
    code = f"""
import os, sys
sys.path[0] = {str(Path(__file__).resolve().parents[2])!r}
from pathlib import Path
from icedit_core.folder_lock import FolderLock
FolderLock(Path({str(out)!r})).take()
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode != 0
    FolderLock(out).take()


@pytest.mark.parametrize("where", ["state", "adapter", "table"])
def test_a_full_disk_is_a_sentence_and_nothing_half_is_taken_for_whole(data, whole, tmp_path, monkeypatch, where):
    out, full = tmp_path / "out", OSError(errno.ENOSPC, "No space left on device")

    def fail(*_, **__):
        raise full

    with monkeypatch.context() as patch:
        if where == "state":  # as torch tells of it, with a part already written
            real = torch.save
            patch.setattr(torch, "save", lambda state, path: (real(1, path), fail_as_torch())[0])
        elif where == "adapter":
            patch.setattr(loop, "save_adapter", fail)
        else:
            patch.setattr(loop.Table, "add", fail)
        with pytest.raises(ValueError, match=r"cannot be written .*Make room.*the same command goes on") as caught:
            again(data, out)
    assert "\n" not in str(caught.value)
    assert Checkpoints(out / "checkpoints", 2).steps() == [] and not list(out.glob("checkpoints/*"))
    again(data, out)
    one, other = (load_file(folder / "adapter.safetensors") for folder in (whole, out))
    assert all(torch.equal(one[name], other[name]) for name in one)


def fail_as_torch() -> None:
    raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 128 vs 64\nNo space left")


def test_a_folder_that_cannot_be_made_is_a_sentence(data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"out.* cannot be written \(.*choose another output.folder"):
        again(data, tmp_path / "file" / "out")
