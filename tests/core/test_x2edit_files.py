"""X2Edit's published files: converted once to one, read, and refused in words where they are none."""

import re
import zipfile

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from icedit_core.adapters import files
from icedit_core.adapters.readers import read as read_icedit
from icedit_core.adapters.readers import x2edit
from icedit_core.adapters.writers import write as write_icedit
from icedit_core.cli.main import main
from icedit_core.x2edit import align
from icedit_core.x2edit.convert import convert

from . import x2edit_case as case
from .test_adapters import GOLDEN as ICEDIT

GATE = "transformer_blocks.0.attn.processor.q_moe_lora.gate.weight"
EXPERT = "single_transformer_blocks.1.attn.processor.v_moe_lora.experts.11"
SHARED = "transformer_blocks.1.attn.processor.proj_moe_lora.shared_experts"


@pytest.fixture
def folder(tmp_path):
    return case.published(tmp_path / "published")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_one_file_holds_every_published_number(tmp_path, capsys, prefix):
    folder = case.published(tmp_path / "published", prefix)
    target = tmp_path / "x2edit.safetensors"
    assert main(["convert", str(folder), str(target)]) == 0
    assert "14 routed layers of 12 experts, rank 8" in capsys.readouterr().out
    made, expected = load_file(target), case.one_file()
    assert made.keys() == expected.keys()
    for key, tensor in expected.items():
        assert made[key].dtype == tensor.dtype and torch.equal(made[key], tensor), key
    with safe_open(target, "pt") as file:
        metadata = file.metadata()
    assert metadata["icedit_format"] == "x2edit" and metadata["top_k"] == "2"
    assert len(metadata["sha256 of task_embeddings.bin"]) == 64


def test_the_adapter_is_read_as_the_published_code_attaches_it(folder, tmp_path):
    convert(folder, tmp_path / "x2edit.safetensors")
    made, top_k = files.load_as(x2edit.read, tmp_path / "x2edit.safetensors")
    lora = load_file(case.GOLDEN / "lora.safetensors")
    assert top_k == 2 and made.contexts["task"].shape == (16, 128) and made.plain == {}
    double = [f"transformer_blocks.{i}.attn.{part}" for i in (0, 1) for part in ("to_q", "to_k", "to_v", "to_out.0")]
    single = [f"single_transformer_blocks.{i}.attn.{part}" for i in (0, 1) for part in ("to_q", "to_k", "to_v")]
    assert set(made.routed) == {*double, *single}
    for name, routed in made.routed.items():
        assert routed.reads_output == name.endswith("to_out.0") and routed.gates == "softmax_then_top_k"
    routed = made.routed["single_transformer_blocks.1.attn.to_v"]
    assert torch.equal(routed.experts[11].down, lora[f"{EXPERT}.down.weight"])
    assert torch.equal(routed.shared.up, lora[f"{EXPERT[:-10]}shared_experts.up.weight"])


def broken(**changes):
    tensors = case.one_file()
    for key, change in changes.items():
        if change is None:
            del tensors[key]
        else:
            tensors[key] = change
    return tensors


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task_embeddings.weight": None}, r"experts alone.*task embeddings.*icedit_core.cli convert FOLDER"),
        ({"task_embeddings.weight": torch.ones(15, 128)}, r"\(15, 128\), but it needs 16 rows"),
        ({"task_embeddings.weight": torch.ones(16, 1 << 15)}, r"\(16, 32768\), .* of at most 16384 numbers"),
        ({"task_embeddings.weight": torch.ones(16, 96)}, r"gate must read token and task, 224 values"),
        ({GATE: None}, r"transformer_blocks\.0\.attn\.to_q lacks its gate"),
        ({GATE: torch.ones(11, 256)}, r"its gate picks among 11"),
        ({GATE: torch.full((12, 256), float("nan"))}, "holds NaN"),
        ({f"{SHARED}.up.weight": None}, r"attn\.to_out\.0, shared expert has 'down' alone"),
        ({f"{SHARED}.up.weight": None, f"{SHARED}.down.weight": None}, "lacks its shared expert"),
        ({f"{EXPERT}.up.weight": torch.ones(128, 7)}, r"expert 11 has down \(8, 128\) and up \(128, 7\)"),
        ({f"{EXPERT}.up.weight": torch.ones(64, 8)}, "all experts must be alike"),
        ({f"{SHARED}.up.weight": torch.ones(64, 8)}, "all experts must be alike"),
        ({f"{EXPERT}.up.weight": torch.ones(128)}, "a float tensor of 2 dimensions"),
        ({"transformer_blocks.0.attn.other": torch.ones(1)}, r"1 of 388 tensors are not X2Edit's"),
    ],
)
def test_a_damaged_file_is_refused_in_words(changes, words, tmp_path):
    save_file(broken(**changes), tmp_path / "odd.safetensors")
    with pytest.raises(ValueError, match=words) as caught:
        files.load_as(x2edit.read, tmp_path / "odd.safetensors")
    assert "odd.safetensors" in str(caught.value)


def test_icedits_file_names_the_right_node_and_the_reverse():
    with pytest.raises(ValueError, match=r"ICEdit's MoE-LoRA .*ICEdit Load LoRA on FLUX.1 Fill"):
        x2edit.read(load_file(ICEDIT / "pytorch_lora_weights.safetensors"))
    with pytest.raises(ValueError, match="this is X2Edit's adapter .*Load it with ICEdit X2 Adapter, on FLUX.1 dev"):
        read_icedit(load_file(case.GOLDEN / "lora.safetensors"))
    with pytest.raises(ValueError, match=r"0 of 1 tensors are not X2Edit's \(it holds none\)"):
        x2edit.read({"task_embeddings.weight": torch.ones(16, 8)})


def test_icedits_layout_does_not_drop_what_it_cannot_hold():
    with pytest.raises(ValueError, match="has a shared expert, other gates or reads the layer's output"):
        write_icedit(x2edit.read(case.one_file()))


HUGE = {"mlp.fc.1.weight": torch.empty(0, 1 << 45)}  # whose sizes are no numbers in the file
NOWHERE = torch.empty(1, device="meta")


class Harm:
    def __reduce__(self):
        return print, ("unpickled",)


def packed(source, target):
    """The same archive, compressed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            new.writestr(part.filename, old.read(part))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("task_embeddings.bin", {"weight": Harm()}, "cannot be read"),
        ("task_embeddings.bin", [torch.ones(2)], "holds a list, but named tensors"),
        ("task_embeddings.bin", {"weight": 3}, "no plain tensor"),
        ("task_embeddings.bin", {"weight": torch.ones(1).expand(16, 1 << 40)}, "no plain tensor"),
        ("task_embeddings.bin", {"weight": torch.ones(16, 128).to_sparse_csr()}, "no plain tensor"),
        ("task_embeddings.bin", {"weight": torch.nested.nested_tensor([torch.ones(1)])}, "no plain tensor"),
        ("diffusion_pytorch_model.bin", case.align_weights() | HUGE, "mlp.fc.1.weight in .* is no plain tensor"),
        ("diffusion_pytorch_model.bin", case.align_weights() | {"conv.bias": NOWHERE}, "no plain tensor"),
        ("task_embeddings.bin", {"bias": torch.ones(2)}, "holds bias, but 'weight' alone"),
        ("task_embeddings.bin", {"weight": torch.full((16, 128), float("inf"))}, "holds NaN or infinity"),
        ("diffusion_pytorch_model.bin", {"module.conv.bias": torch.ones(1)}, r"conv\.weight, mlp.* are missing"),
        ("diffusion_pytorch_model.bin", case.align_weights() | {"conv.bias": torch.ones(2)}, r"conv\.bias \(2,\)"),
    ],
)
def test_a_published_file_with_something_else_in_it_is_refused(folder, tmp_path, capsys, name, value, words):
    torch.save(value, folder / name)
    with pytest.raises(ValueError, match=words):
        convert(folder, tmp_path / "new.safetensors")
    assert not (tmp_path / "new.safetensors").exists() and "unpickled" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "cannot be opened"),
        (lambda path: path.write_bytes(path.read_bytes()[:-900]), "cannot be read"),
        (lambda path: path.write_bytes(b"\x80\x02}q\x00."), "cannot be read"),  # a pickle that is no archive
        (lambda path: path.write_bytes(bytes(17 << 20)), "bytes, more than"),
        (lambda path: (packed(path, path.with_suffix(".zip")), path.with_suffix(".zip").rename(path)), "it is packed"),
    ],
)
def test_a_damaged_pickle_is_refused(folder, tmp_path, damage, words):
    damage(folder / "task_embeddings.bin")
    with pytest.raises(ValueError, match=f"task_embeddings.bin {words}|task_embeddings.bin.*{words}") as caught:
        convert(folder, tmp_path / "new.safetensors")
    assert re.search(r"Put X2Edit's published lora\.safetensors", str(caught.value))


def test_sizes_that_only_fill_the_memory_are_refused():
    weights = {key: torch.empty(value.shape, device="meta") for key, value in case.align_weights().items()}
    weights["mlp.projector.2.weight"] = torch.empty(1 << 17, 1 << 17, device="meta")
    weights["mlp.fc.1.weight"] = torch.empty(case.POOLED, 1 << 17, device="meta")
    with pytest.raises(ValueError, match="sizes 3, 16, 131072 and 24, but at most 16384"):
        align.check(weights)


def test_nothing_is_replaced(folder, tmp_path):
    target = tmp_path / "mine.safetensors"
    target.write_bytes(b"mine")
    with pytest.raises(ValueError, match="is there already"):
        convert(folder, target)
    with pytest.raises(ValueError, match="does not end in .safetensors"):
        convert(folder, tmp_path / "mine.bin")
    assert target.read_bytes() == b"mine"
