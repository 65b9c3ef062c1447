"""What is no adapter file: refused in words, in little memory; and what was loaded owes its file nothing."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from devtools.bench import adapter_check
from icedit_core.adapters import files
from icedit_core.adapters.readers import read

FIXTURES = Path(__file__).parents[1] / "fixtures"
CORPUS = sorted((FIXTURES / "adapter_corpus").glob("*.safetensors"))
EXPECTED = {
    "alpha_of_int64": "1 plain layers, rank 2",
    "direction_override_in_a_name": r"x\\u202e_embedder has lora_A alone",
    "empty": "it is empty",
    "expert_of_5000_digits": r"1 of 1 tensors are of no layout known here: a\.lora_A\.expert_9+\.\.\.",
    "experts_of_mixed_dtypes": r"experts of float32 .* float8_e5m2 .*must be alike",
    "float64_beyond_float32": r"holds NaN or infinity \(in float32\)",
    "fp8_e4m3": "1 plain layers, rank 2",
    "good": "1 plain layers, rank 2",
    "header_of_2_gib": "its header should have 2147483648 bytes, the whole file has 100",
    "header_of_64_mib": "its header should have 67108864 bytes, the whole file has 100",
    "integers": "lora_A.weight is torch.int32",
    "lfs_pointer": "a Git LFS pointer",
    "name_twice_for_the_same_bytes": "lora_B.weight twice, but every name is needed once",
    "nan": "holds NaN",
    "newline_in_a_name": r"1 of 1 tensors .*: \\n",
    "no_tensors": "holds no tensors",
    "pickle": "it looks like a pickle",
    "shapes_apart": "share the rank",
    "side_beyond_64_bits": r"has the shape \(0, 18446744073709551615\)",
    "tensor_of_2_gib": "cannot be read",
    "top_k_of_5000_digits": r"top_k = '9+\.\.\.'",
    "truncated": "cannot be read",
    "web_page": "it looks like a web page",
    "zip": "a zip archive",
}


@pytest.fixture
def little_memory() -> Iterator[None]:
    """No more than 256 MiB beyond what the process has: a claim of 2 GiB that is believed ends in MemoryError."""
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (256 << 20), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_the_corpus_loads_or_is_refused_in_words(path: Path, little_memory: None):
    outcome = adapter_check.judge(path)
    assert re.search(EXPECTED.get(path.stem, ""), outcome.words), outcome.words


def test_the_corpus_is_all_there():
    assert set(EXPECTED) <= {path.stem for path in CORPUS}


def test_what_is_no_regular_file_is_said(tmp_path: Path):
    folder = tmp_path / "folder.safetensors"
    folder.mkdir()
    with pytest.raises(ValueError, match=r"folder\.safetensors is a folder, but .* Choose the file itself"):
        files.load(folder)
    with pytest.raises(ValueError, match=r"absent\.safetensors cannot be read \(No such file"):
        files.load(tmp_path / "absent.safetensors")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name are POSIX's")
def test_a_pipe_and_what_cannot_be_opened_are_refused_without_waiting(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(ValueError, match=r"pipe\.safetensors is no regular file"):
        files.load(tmp_path / "pipe.safetensors")
    loop = tmp_path / "loop.safetensors"
    loop.symlink_to(loop)
    with pytest.raises(ValueError, match=r"loop\.safetensors cannot be read \(Too many levels"):
        files.load(loop)
    if os.geteuid() != 0:  # root reads everything
        locked = tmp_path / "locked.safetensors"
        save_file({"a": torch.ones(1)}, locked)
        locked.chmod(0)
        with pytest.raises(ValueError, match=r"locked\.safetensors cannot be read \(Permission denied"):
            files.load(locked)


def test_a_header_that_is_really_too_long_is_not_parsed(tmp_path: Path, little_memory: None):
    path = tmp_path / "long.safetensors"
    with path.open("wb") as file:
        file.write((90 << 20).to_bytes(8, "little") + b"{")
        file.truncate(91 << 20)  # a hole, where the file system has them
    with pytest.raises(ValueError, match="has a header of 94371840 bytes, but an adapter's has at most 16777216"):
        files.load(path)


def test_a_file_overwritten_in_place_does_not_change_what_was_loaded(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    tensors = {"x.lora_A.weight": torch.randn(2, 300), "x.lora_B.weight": torch.randn(4, 2)}
    save_file(tensors, path)
    adapter, _ = files.load(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(b"\xff" * size)
    assert torch.equal(adapter.plain["x"].down, tensors["x.lora_A.weight"])
    assert torch.equal(adapter.plain["x"].up, tensors["x.lora_B.weight"])


class Watched(Mapping[str, Tensor]):
    """Tensors that count how often each is asked for."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors, self.asked = tensors, []

    def __getitem__(self, name: str) -> Tensor:
        self.asked.append(name)
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


def test_every_tensor_is_read_once_and_none_of_a_file_of_another_kind():
    tensors = load_file(FIXTURES / "icedit_moe" / "pytorch_lora_weights.safetensors")
    good = Watched(tensors)
    read(good)
    assert sorted(good.asked) == sorted(tensors)
    model = Watched(tensors | {"transformer_blocks.0.attn.to_q.weight": torch.ones(1)})
    with pytest.raises(ValueError, match="1 of .* tensors are of no layout known here: transformer_blocks.0.attn"):
        read(model)
    assert model.asked == []


def test_the_check_sees_what_it_is_to_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Readers that break the promise in every way that a file can show."""
    path = tmp_path / "a.safetensors"
    save_file({"x.lora_A.weight": torch.ones(2, 3), "x.lora_B.weight": torch.ones(4, 2)}, path)
    adapter, _ = files.load(path)
    (update,) = adapter.plain.values()
    halved, nan = replace(update, down=update.down[:, :1]), replace(update, down=update.down * torch.nan)
    for answer, find in [
        (TypeError("oops"), "TypeError: oops"),
        (ValueError("no"), "does not say who speaks and does not name the file and has no remedy"),
        (ValueError(f"ICEdit adapter: {path.name} is\nbad. Sorry."), "control characters"),
        (ValueError(f"ICEdit adapter: {path.name} is {'bad' * 1000}. Sorry."), "3041 characters long"),
        (replace(adapter, plain={}), "without a layer"),
        (replace(adapter, plain={"x": halved}), "the file holds 14 numbers, the adapter 10"),
        (replace(adapter, plain={"x": nan}), "not finite"),
    ]:

        def load(path: Path, answer=answer):
            if isinstance(answer, Exception):
                raise answer
            return answer, 1

        monkeypatch.setattr(files, "load", load)
        with pytest.raises(adapter_check.Find, match=find):
            adapter_check.judge(path)


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading anything but single numbers fails."""
    real = files._Tensors.__getitem__

    def number(tensors: files._Tensors, name: str) -> Tensor:
        assert math.prod(tensors._file.get_slice(name).get_shape()) == 1, f"{name} was read"
        return real(tensors, name)

    monkeypatch.setattr(files._Tensors, "__getitem__", number)


def claims(path: Path, shapes: dict[str, list[int]]) -> Path:
    """A file that claims float32 tensors and holds nothing: a hole, where the file system has them."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return path


@pytest.mark.parametrize("shape", [(1 << 28, 1), (1 << 14, 1 << 14)])
def test_a_rank_made_to_fill_the_memory_is_refused_unread(tmp_path: Path, unread: None, shape: tuple[int, int]):
    rank, side = shape
    rank += side == 1 << 14
    path = claims(tmp_path / "a.safetensors", {"x.lora_A.weight": [rank, side], "x.lora_B.weight": [side, rank]})
    with pytest.raises(
        ValueError, match=rf"x has the rank {rank}, but a layer of {side} inputs .*\(file a.safetensors"
    ):
        files.load(path)


def test_experts_made_to_fill_the_memory_are_refused_unread(tmp_path: Path, unread: None):
    experts = {
        f"x.lora_{side}.expert_{number}.weight": shape
        for number in range(65)
        for side, shape in (("A", [16, 64]), ("B", [64, 16]))
    }
    path = claims(tmp_path / "a.safetensors", experts | {"x.lora_route.weight": [65, 64]})
    with pytest.raises(ValueError, match="x has 65 experts of rank 1040 in all, but a layer needs at most 1024"):
        files.load(path)


def test_a_file_that_does_not_fit_the_model_is_not_read(tmp_path: Path, unread: None):
    """2 GiB, whose shapes are sound but another model's."""
    shapes = {"x.lora_A.weight": [1 << 14, 1 << 14], "x.lora_B.weight": [1 << 14, 1 << 14], "x.alpha": []}

    def fits(outline) -> None:
        assert outline.plain["x"].down.is_meta and outline.plain["x"].alpha == 0
        assert outline.summary() == "1 plain layers, rank 16384; 536.87 M parameters"
        raise ValueError("the model's x is 64 wide")

    with pytest.raises(ValueError, match="64 wide"):
        files.load(claims(tmp_path / "a.safetensors", shapes), fits)
