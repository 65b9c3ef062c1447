"""A whole training in a tiny world: what it writes, what it learns, what it says; the command; computed memory."""

from __future__ import annotations

import csv
import json
import logging
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont
from safetensors import safe_open
from safetensors.torch import load_file
from torch.autograd.graph import saved_tensors_hooks

from icedit_core.adapters import files
from icedit_core.cli.main import main
from icedit_core.training import dry_run, loop, memory, validation
from icedit_core.training.config import parse
from icedit_core.training.data import BrokenRow, open_rows
from icedit_core.training.lora import Trainable
from icedit_core.training.objective import draws, flow_matching_loss, velocity

from . import training_world as world


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return world.write_rows(tmp_path_factory.mktemp("data") / "pairs")


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A finished training: its folder, its config, its events and its log."""
    out, events, lines = tmp_path_factory.mktemp("out"), [], []
    settings = world.config(
        data,
        out,
        train={"steps": 40, "batch": 3, "accumulate": 1, "log_every": 10},
        optimiser={"name": "adamw", "lr": 1e-2},
        ema={"decay": 0.8},
        validation={"every": 20, "rows": 2, "steps": 3},
        output={"save_every": 20},
    )
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("icedit_core.training")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    base = world.base()
    before = {name: tensor.clone() for name, tensor in base.transformer.state_dict().items()}
    path = loop.train(settings, base=base, on_event=lambda kind, values: events.append((kind, values)))
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
    return {
        "out": out,
        "config": settings,
        "events": events,
        "log": lines,
        "base": base,
        "before": before,
        "path": path,
    }


def mean_loss(base, cache, settings, tensors=None) -> float:
    """Over all rows and fixed draws."""
    trainable = Trainable(base.transformer, settings.adapter)
    if tensors:
        trainable.load_adapter(tensors)
    batch = cache.batch(range(len(cache)))
    drawn = [draws(99, i, tuple(batch["target"].shape[1:])) for i in range(len(cache))]
    noise, t = (torch.stack([d[k] for d in drawn]) for k in (0, 1))
    with torch.no_grad():
        loss = flow_matching_loss(lambda x, t, b: velocity(trainable, x, t, b, base.guidance), batch, noise, t)
    trainable.detach()
    return float(loss)


def test_it_learns_and_gives_the_base_back_as_it_was(trained):
    from accelerate import Accelerator

    from icedit_core.training.setup import open_cache

    settings, base = trained["config"], trained["base"]
    after = base.transformer.state_dict()
    assert after.keys() == trained["before"].keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in trained["before"].items())
    cache = open_cache(settings, open_rows(settings.data), base, Accelerator())
    adapted = mean_loss(base, cache, settings, load_file(trained["path"]))
    assert adapted < 0.9 * mean_loss(base, cache, settings)


def test_the_adapter_has_the_published_layout_and_says_what_it_is(trained):
    with safe_open(trained["path"], framework="pt") as file:
        names, facts = set(file.keys()), file.metadata()
    assert facts["top_k"] == "1" and facts["rank"] == "2" and facts["step"] == "40" and facts["prompt"] == "ic"
    assert "transformer.single_transformer_blocks.1.proj_out.lora_A.expert_2.weight" in names
    assert "transformer.transformer_blocks.0.ff.net.2.lora_route.weight" in names
    assert "transformer.transformer_blocks.0.attn.to_q.lora_B.weight" in names


def test_the_files_are_the_averaged_weights(trained):
    state = torch.load(trained["out"] / "checkpoints" / "step-00000040" / "state.pt", weights_only=True)
    name = next(name for name in state["parameters"] if "attn.to_q.lora_A" in name and "transformer_blocks.0" in name)
    number = list(state["parameters"]).index(name)
    averaged, live = state["average"]["shadow_params"][number], state["parameters"][name]
    written = load_file(trained["path"])
    key = "transformer." + name.split("transformer.", 1)[1].replace(".default", "")
    assert torch.equal(written[key], averaged) and not torch.equal(written[key], live)


def test_the_tables_have_a_line_a_step_and_the_routers_habits(trained):
    with (trained["out"] / "loss.csv").open() as file:
        losses = list(csv.DictReader(file))
    assert [int(row["step"]) for row in losses] == list(range(1, 41))
    assert [float(row["loss"]) for row in losses] == [v["loss"] for kind, v in trained["events"] if kind == "step"]
    with (trained["out"] / "router.csv").open() as file:
        routes = list(csv.DictReader(file))
    assert [int(row["step"]) for row in routes] == [10, 20, 30, 40]
    assert all(sum(float(row[f"expert_{i}"]) for i in range(3)) == pytest.approx(1) for row in routes)
    assert any("experts take" in line for line in trained["log"])
    assert any("step 40 of 40: loss" in line for line in trained["log"])


def test_the_report_counts_rows_and_names_broken_ones(trained):
    report = json.loads((trained["out"] / "report.json").read_text())
    assert report["rows"]["trained_on"] == world.ROWS - 2 and report["rows"]["held_out"] == 2
    assert report["rows"]["skipped"] == 1 and "missing" in report["rows"]["reasons"][0]["reason"]
    tokens = report["tokens_per_expert"]["transformer_blocks.0.ff.net.2"]
    assert sum(tokens) == 40 * 3 * 8  # the image tokens of every sample
    assert report["steps"] == 40 and report["config"]["optimiser.lr"] == 1e-2


def test_the_pictures_show_the_rows_held_out(trained):
    pictures = sorted((trained["out"] / "validation").iterdir())
    assert [path.name for path in pictures] == ["00000020.png", "00000040.png"]
    sheet = np.asarray(Image.open(pictures[1]))
    side, gap = world.PANEL, validation.GAP
    line = sheet.shape[0] // 3 - (2 * side + gap) // 3  # the columns' names, and words over each of the two rows
    assert sheet.shape == (2 * side + gap + 3 * line, 3 * side + 2 * gap, 3)
    source = np.asarray(Image.open(trained["config"].data.path + f"/{world.ROWS - 2}_source.png"))[::8, ::8]
    shown = sheet[2 * line : 2 * line + side : 8, :side:8]
    assert np.abs(shown[..., 0].astype(int) - source[..., 0]).mean() < 3  # the tiny autoencoder keeps the first channel
    assert (trained["out"] / "loss.png").stat().st_size > 5000


def test_the_last_rows_are_never_trained_on(data, tmp_path, monkeypatch):
    from icedit_core.training.cache import Cache

    seen, batch = set(), Cache.batch

    def spy(self, indices, drop=None):
        if drop is not None:
            seen.update(indices.tolist())
        return batch(self, indices, drop)

    monkeypatch.setattr(Cache, "batch", spy)
    loop.train(world.config(data, tmp_path, validation={"every": 8, "rows": 3, "steps": 1}), base=world.base())
    assert seen == set(range(world.ROWS - 3))


def is_broken(rows, index) -> bool:
    try:
        rows[index]
    except BrokenRow:
        return True
    return False


def test_held_out_rows_are_painted_with_their_words(data, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        validation, "_sheet", lambda strips, words: said.append(list(words)) or Image.new("RGB", (8, 8))
    )
    settings = world.config(data, tmp_path, validation={"every": 8, "rows": 2, "steps": 1})
    loop.train(settings, base=world.base())
    rows = open_rows(settings.data)
    usable = [rows[i].instruction for i in range(len(rows)) if not is_broken(rows, i)]
    assert said and all(words == usable[-2:] for words in said)


@pytest.mark.parametrize("words", [("make it red", "w" * 400), ()])
def test_a_sheet_has_room_for_words_and_pictures(words):
    strips = [[torch.full((3, 96, 96), shade) for shade in (0.2, 0.5, 0.8)]] * 2
    sheet = np.asarray(validation._sheet(strips, words))
    assert [(sheet == shade).all(-1).sum() >= 2 * 96 * 96 for shade in (51, 128, 204)] == [True] * 3
    assert (sheet[:16] < 200).any(), "the columns are named"
    dark = (sheet == 0).all(-1).any()
    assert dark == bool(words)


def test_long_words_on_a_sheet_are_wrapped_and_none_is_left_out():
    words = "the background should be black and dark green stripes instead of white and blue ones"
    lines = validation._lines(words, ImageFont.load_default(11), 288)
    assert len(lines) > 1 and " ".join(lines) == words
    strips = [[torch.zeros(3, 96, 96)] * 3]
    assert validation._sheet(strips, [words]).height > validation._sheet(strips, ["make it red"]).height


@pytest.mark.skipif(os.name == "nt", reason="file modes are POSIX's")
def test_the_adapters_file_has_the_mode_of_the_umask(trained):
    before = os.umask(0o022)
    os.umask(before)
    assert stat.S_IMODE((trained["out"] / "adapter.safetensors").stat().st_mode) == 0o666 & ~before


def test_too_few_rows_for_validation_is_said(data, tmp_path):
    with pytest.raises(ValueError, match=r"11 usable rows, but 11 are held out .* lower validation.rows"):
        loop.train(world.config(data, tmp_path, validation={"every": 1, "rows": 11}), base=world.base())


def test_a_loss_that_is_not_finite_stops_with_words(data, tmp_path):
    settings = world.config(data, tmp_path, optimiser={"name": "adamw", "lr": 1e30, "clip": 0.0})
    with pytest.raises(ValueError, match=r"the loss of step \d is (nan|inf), but a finite one is needed"):
        loop.train(settings, base=world.base())


def test_a_training_begins_from_a_published_file(trained, data, tmp_path):
    settings = world.config(
        data,
        tmp_path,
        model={"adapter": str(trained["path"])},
        train={"steps": 1},
        optimiser={"name": "adamw", "lr": 1e-12},
    )
    again = load_file(loop.train(settings, base=world.base()))
    before = load_file(trained["path"])
    assert before.keys() == again.keys()
    assert all(torch.allclose(before[name], again[name], atol=1e-6) for name in before)


def test_an_adapter_to_begin_from_that_is_not_there_is_named(data, tmp_path):
    settings = world.config(data, tmp_path, model={"adapter": str(tmp_path / "none.safetensors")})
    with pytest.raises(ValueError, match=r"model.adapter .*none.safetensors cannot be read"):
        loop.train(settings, base=world.base())


def test_an_adapter_of_another_rank_is_refused_before_its_numbers_are_read(trained, data, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(files._Tensors, "__getitem__", lambda self, name: read.append(name))
    settings = world.config(data, tmp_path, model={"adapter": str(trained["path"])}, adapter={"rank": 4})
    with pytest.raises(ValueError, match=r"model.adapter .*is trained"):
        loop.train(settings, base=world.base())
    assert not read


def test_a_folder_as_the_adapter_to_begin_from_is_named(data, tmp_path):
    settings = world.config(data, tmp_path, model={"adapter": str(tmp_path)})
    with pytest.raises(ValueError, match=r"model.adapter .* is a folder"):
        loop.train(settings, base=world.base())


class TestMemory:
    def config(self, **sections):
        return world.config(Path("d"), Path("o"), train={"batch": 2, "steps": 1, "mixed_precision": "no"}, **sections)

    @pytest.mark.parametrize("checkpointing", [False, True])
    def test_the_count_is_what_autograd_really_keeps(self, checkpointing):
        settings = self.config(data={"panel": [64, 64]})
        trainable = Trainable(world.transformer(torch.float32, torch.device("cpu")), settings.adapter)
        if checkpointing:
            trainable.checkpoint_blocks()
        weights, kept = {p.untyped_storage().data_ptr() for p in trainable.parameters()}, {}

        def note(tensor):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = (storage.nbytes(), storage)
            return tensor

        inputs = {
            name: torch.ones_like(tensor, device="cpu")
            for name, tensor in memory._inputs(world.FLUX, settings, 7, "meta").items()
        }
        with saved_tensors_hooks(note, lambda tensor: tensor):
            trainable(**inputs)
        real = sum(size for size, _ in kept.values())
        found = memory.compute(world.FLUX, settings, checkpointing=checkpointing, text_tokens=7, device="cpu")
        if checkpointing:  # the hungriest block comes on top, while it runs again
            whole = memory.compute(world.FLUX, settings, checkpointing=False, text_tokens=7, device="cpu")
            assert real < found.activations < real + whole.activations / 2
        else:
            assert found.activations == real

    def test_weights_and_states_are_counted(self):
        settings = self.config(ema={"decay": 0.5})
        base = world.transformer(torch.float32, torch.device("cpu"))
        size = 4 * sum(p.numel() for p in base.parameters())
        trained = 4 * sum(p.numel() for p in Trainable(base, settings.adapter).adapter_parameters())
        found = memory.compute(world.FLUX, settings, checkpointing=True, device="cpu")
        assert (found.base, found.adapter, found.gradients, found.optimiser) == (size, trained, trained, 2 * trained)
        assert found.average == trained

    def test_prodigys_states_are_counted(self, data, tmp_path):
        settings = world.config(data, tmp_path, optimiser={"name": "prodigy", "lr": 1.0})
        loop.train(settings, base=world.base())
        state = torch.load(tmp_path / "checkpoints" / "step-00000008" / "state.pt", weights_only=True)
        tensors = [v for values in state["optimiser"]["state"].values() for v in values.values() if torch.is_tensor(v)]
        real = sum(v.nbytes for v in tensors if v.ndim)
        assert memory.compute(world.FLUX, settings, checkpointing=True, device="cpu").optimiser == real


@pytest.mark.parametrize(("checkpointing", "english", "chinese"), [(False, "off", "\u5173"), (True, "on", "\u5f00")])
def test_the_users_pages_have_what_is_computed_for_the_full_size_model(checkpointing, english, chinese):
    published = {"model": {"base": "b"}, "data": {"path": "d"}, "train": {"steps": 1}, "output": {"folder": "o"}}
    settings = parse(published)
    found = memory.compute(memory.FLUX_FILL, settings, checkpointing=checkpointing)
    parts = (found.base, found.adapter, found.gradients, found.optimiser, found.activations, found.total)
    for name, setting in (("training.md", english), ("training.zh.md", chinese)):
        page = (Path(__file__).resolve().parents[2] / "docs" / name).read_text(encoding="utf-8")
        (line,) = [line for line in page.splitlines() if line.startswith(f"| {setting} | 22.")]
        assert [float(cell) for cell in line.split("|")[2:-1]] == pytest.approx([n / 2**30 for n in parts], abs=0.06)


class TestCommand:
    TOML = '[model]\nbase = "none"\n[data]\npath = "{data}"\n[train]\nsteps = 5\n[output]\nfolder = "out"\n'

    def test_a_dry_run_finds_all_problems_and_starts_nothing(self, data, tmp_path, capsys):
        file = tmp_path / "a.toml"
        toml = self.TOML.format(data=data).replace("[data]", 'adapter = "no.safetensors"\n[data]')
        file.write_text(toml + "[validation]\nrows = 30\n[adapter]\nplain = ['nowhere']\n")
        assert main(["train", str(file), "--dry-run"]) == 2
        said = capsys.readouterr().out
        assert "12 rows, all of them opened, 1 broken" in said and "missing.png" in said
        problems = [line for line in said.splitlines() if line.startswith("PROBLEM")]
        assert len(problems) == 4
        wanted = ("none", "no.safetensors", "validation.rows", "'nowhere' fits no Linear")
        assert all(words in problem for words, problem in zip(wanted, problems, strict=True))
        assert not (tmp_path / "out").exists()
        assert "GiB" not in said, "without its base, what a training takes is not known"

    def test_a_dry_run_says_what_it_computed(self, data, tmp_path, monkeypatch):
        monkeypatch.setattr(dry_run, "load_base", lambda *_, **__: world.base())
        lines = []
        assert dry_run.run(world.config(data, tmp_path / "o"), "auto", lines.append) == []
        text = "\n".join(lines)
        assert "1 double and 2 single blocks" in text and "computed, not measured" in text and "<- configured" in text
        assert "pairs are few" in text and "TFLOP a step" in text
        assert "8 steps of 2 x 2 samples" in text and not (tmp_path / "o").exists()

    def test_a_wrong_file_is_one_line_and_code_2(self, tmp_path, capsys):
        assert main(["train", str(tmp_path / "no.toml")]) == 2
        assert "no.toml: cannot be read" in capsys.readouterr().err
