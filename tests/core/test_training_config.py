"""The trainer's TOML: published defaults, and one clear error for whatever is wrong; order and rates."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from icedit_core.training import config, optimisers, order
from icedit_core.training.config import Optimiser, flat, identity, load, parse

NEEDED = {"model": {"base": "demo"}, "data": {"path": "d"}, "train": {"steps": 10}, "output": {"folder": "o"}}


def changed(section: str, **values) -> dict:
    return {**NEEDED, section: {**NEEDED.get(section, {}), **values}}


def test_the_defaults_are_the_published_training():
    made = parse(NEEDED)
    assert (made.train.batch, made.train.accumulate, made.train.mixed_precision) == (1, 2, "bf16")
    assert (made.optimiser.name, made.optimiser.rate, made.optimiser.weight_decay) == ("prodigy", 1.0, 0.01)
    assert (made.adapter.rank, made.adapter.alpha, made.adapter.experts, made.adapter.top_k) == (32, 32, 4, 1)
    assert (made.data.panel, made.data.fit, made.data.prompt, made.train.text_dropout) == (
        (512, 512),
        "stretch",
        "ic",
        0.1,
    )
    loss = made.loss
    assert (loss.left_weight, loss.changed_weight, loss.time_mean, loss.time_std, loss.time_uniform) == (1, 1, 0, 1, 0)
    assert made.ema.decay == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({**NEEDED, "trian": {}}, r"x.toml: trian is unknown. Did you mean 'train'\? The sections are adapter, "),
        (changed("train", batchsize=2), r"batchsize is unknown. Did you mean 'batch'\? \[train\] knows accumulate, "),
        (changed("adapter", zzz=2), r"adapter.zzz is unknown. \[adapter\] knows alpha, "),
        ({**NEEDED, "train": {}}, r"x.toml: train.steps is missing, but it is needed. Add it to \[train\]"),
        ({k: v for k, v in NEEDED.items() if k != "data"}, r"data.path is missing"),
        ({**NEEDED, "ema": 0.9}, r"ema is 0.9, but a section is needed. Write \[ema\]"),
        (changed("train", steps=0), r"train.steps is 0, but at least 1 is needed"),
        (changed("train", steps=1.5), r"train.steps is 1.5, but a whole number is needed"),
        (changed("train", steps="9"), r"train.steps is '9', but a whole number is needed"),
        (changed("train", steps=True), r"train.steps is True, but a whole number is needed"),
        (changed("train", compile=1), r"train.compile is 1, but true or false is needed"),
        (changed("train", text_dropout=1.1), r"train.text_dropout is 1.1, but at least 0 and at most 1 is needed"),
        (changed("train", mixed_precision="fp16"), r"train.mixed_precision is 'fp16', but 'bf16' or 'no' is needed"),
        (changed("optimiser", lr=float("nan")), r"optimiser.lr is nan, but a finite number is needed"),
        (changed("optimiser", betas=[0.9]), r"optimiser.betas is \[0.9\], but a list of 2 values is needed"),
        (changed("optimiser", betas=[0.9, 1.0]), r"optimiser.betas is 1.0, but at least 0 and less than 1 is needed"),
        (changed("ema", decay=1.0), r"ema.decay is 1.0, but at least 0 and less than 1 is needed"),
        (changed("data", panel=[512, 500]), r"data.panel is 500, but at least 16 and a multiple of 16 is needed"),
        (changed("data", format="parquet"), r"data.format is 'parquet', but 'folder' or 'magicbrush' or 'omniedit' is"),
        (changed("adapter", top_k=5), r"\[adapter\] top_k is 5, but a whole number from 1 to experts is needed"),
        (changed("adapter", plain=["a", 1]), r"adapter.plain is 1, but a text in quotes is needed"),
        (changed("loss", changed_weight=0), r"loss.changed_weight is 0.0, but more than 0 is needed"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_what_is_needed(values, words):
    with pytest.raises(ValueError, match=words):
        parse(values, who="x.toml")


def test_paths_start_at_the_file(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text('[model]\nbase = "b"\n[data]\npath = "d"\n[train]\nsteps = 3\n[output]\nfolder = "/o"\n')
    made = load(file)
    assert (made.model.base, made.data.path) == (str(tmp_path / "b"), str(tmp_path / "d"))
    assert made.output.folder == str(Path("/o"))
    assert made.cache_folder == Path("/o/cache") and made.model.adapter == made.model.tokenizer == ""
    file.write_text("[model\n")
    with pytest.raises(ValueError, match=r"a.toml: .*but a TOML file is needed"):
        load(file)
    with pytest.raises(ValueError, match=r"none.toml: cannot be read"):
        load(tmp_path / "none.toml")


def test_a_byte_order_mark_is_passed_over(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text(
        '[model]\nbase = "b"\n[data]\npath = "d"\n[train]\nsteps = 3\n[output]\nfolder = "/o"\n', encoding="utf-8-sig"
    )
    assert load(file).train.steps == 3


def test_identity_holds_what_the_weights_depend_on():
    def name(values: dict, processes: int = 1) -> dict:
        return identity(parse(values), processes)

    one = name(NEEDED)
    assert name(changed("train", steps=99, compile=True)) == one  # the rate is constant
    assert name(changed("train", batch=2, accumulate=1)) == one == name(changed("train", accumulate=1), processes=2)
    assert name(changed("output", keep=7, save_every=1)) == one
    for other in (
        changed("train", seed=1),
        changed("train", batch=2),
        changed("validation", rows=5),
        changed("ema", decay=0.5),
    ):
        assert name(other) != one
    falling = changed("optimiser", schedule="linear")
    assert name(falling) != name({**falling, "train": {"steps": 99}})


@pytest.mark.parametrize("file", ["training.md", "training.zh.md"])
def test_every_key_is_in_the_users_page_with_its_default(file):
    """The page has a table with a row for each key: | `section.key` | `default` | ... |"""
    page = (Path(__file__).resolve().parents[2] / "docs" / file).read_text(encoding="utf-8")
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    table = {row[1].strip().strip("`"): row[2].strip() for row in rows}
    assert set(table) == set(flat(parse(NEEDED)))
    for name, value in flat(parse(NEEDED)).items():
        section, key = name.split(".")
        if key not in NEEDED.get(section, {}) and name not in ("adapter.plain", "adapter.routed"):
            shown = {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value
            assert table[name] == f"`{shown!r}`".replace("'", '"') or table[name] == f"`{shown}`", name


def test_the_examples_are_read_and_only_set_what_exists():
    examples = sorted((Path(__file__).resolve().parents[2] / "docs" / "examples").glob("train_*.toml"))
    assert len(examples) == 2
    for example in examples:
        assert load(example).train.steps >= 1


class TestOrder:
    def test_an_epoch_has_each_row_once_and_the_next_another_order(self):
        epochs = [[order.row_of(3, sample, 10) for sample in range(10 * e, 10 * e + 10)] for e in range(3)]
        assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
        assert epochs[0] != epochs[1] != epochs[2]
        assert [order.row_of(4, sample, 10) for sample in range(10)] != epochs[0]

    @pytest.mark.parametrize(("batch", "accumulate", "processes"), [(12, 1, 1), (1, 12, 1), (2, 3, 2), (1, 1, 12)])
    def test_a_step_has_the_same_samples_however_they_are_dealt_out(self, batch, accumulate, processes):
        shape = {"batch": batch, "accumulate": accumulate, "processes": processes}
        for step in (0, 5):
            dealt = Counter(
                sample
                for part in range(accumulate)
                for process in range(processes)
                for sample in order.samples(step, part, process=process, **shape)
            )
            assert dealt == Counter(range(12 * step, 12 * step + 12))


class TestOptimisers:
    def rates(self, steps: int = 100, **values) -> list[float]:
        settings = Optimiser(**values)
        return [optimisers.factor(settings, step, steps) for step in range(steps)]

    def test_rates_rise_stay_and_fall(self):
        assert set(self.rates()) == {1.0}
        rising = self.rates(warmup=10)
        assert rising[:10] == pytest.approx([0.1 * i for i in range(1, 11)]) and set(rising[10:]) == {1.0}
        linear = self.rates(schedule="linear", decay_from=0.5)
        assert set(linear[:50]) == {1.0} and linear[75] == pytest.approx(0.5) and 0 < linear[-1] < 0.03
        cosine = self.rates(schedule="cosine")
        assert cosine[0] == 1.0 and cosine[50] == pytest.approx(0.5) and cosine == sorted(cosine, reverse=True)

    def test_prodigy_is_as_published_and_grows_its_step_until_it_learns(self, capsys):
        torch.manual_seed(0)
        wanted, weight = torch.randn(20), torch.nn.Parameter(torch.zeros(20))
        made = optimisers.make(parse(NEEDED).optimiser, [weight])
        group = made.param_groups[0]
        assert (group["lr"], group["weight_decay"], group["use_bias_correction"], group["safeguard_warmup"]) == (
            1,
            0.01,
            True,
            True,
        )
        for step in range(300):
            optimisers.set_rate(made, parse(NEEDED).optimiser, step, 300)
            made.zero_grad()
            (weight - wanted).square().mean().backward()
            made.step()
        assert optimisers.found_scale(made) > 1e-3 and (weight - wanted).abs().mean() < 0.1
        assert capsys.readouterr().out == ""

    def test_adamw_has_no_scale_of_its_own_and_a_rate_of_its_own(self):
        made = optimisers.make(config.Optimiser(name="adamw"), [torch.nn.Parameter(torch.zeros(2))])
        assert isinstance(made, torch.optim.AdamW) and made.param_groups[0]["lr"] == 1e-4
        assert optimisers.found_scale(made) is None


def test_paths_may_hold_variables_of_the_environment(tmp_path, monkeypatch):
    values = {"model": {"base": "${ICEDIT_TEST}/base"}, "data": {"path": "$d"}, "train": {"steps": 1}}
    values["output"] = {"folder": "out"}
    monkeypatch.delenv("ICEDIT_TEST", raising=False)
    with pytest.raises(ValueError, match=r"model\.base is .*, but ICEDIT_TEST is not set\. Set it"):
        parse(values, folder=tmp_path)
    monkeypatch.setenv("ICEDIT_TEST", str(tmp_path / "there"))
    made = parse(values, folder=Path("/elsewhere"))
    assert made.model.base == str(tmp_path / "there" / "base") and made.data.path == str(Path("/elsewhere/$d"))
