"""Metrics of edits on the canvas: the numbers of `icedit eval`, and what is missing said in words."""

import json
import math
import sys

import numpy as np
import pytest
import torch

from icedit_core.evaluation import edits, protocols
from icedit_core.evaluation.items import Choice
from icedit_core.evaluation.measure import measured
from icedit_core.evaluation.metrics.models import Models

from . import eval_samples as samples
from .test_eval_metrics import models  # noqa: F401 (a fixture)

SIZE = (64, 48)


def batch(*seeds: int, size: tuple[int, int] = SIZE) -> torch.Tensor:
    return torch.stack([torch.from_numpy(np.asarray(samples.image(seed, size)) / np.float32(255)) for seed in seeds])


def measure(source, edit, weights=None, **given):
    return edits.measure(source, edit, edits.Given(**given), weights or Models())


def test_the_numbers_are_those_of_icedit_eval(tmp_path):
    data = samples.own(tmp_path / "data")
    edit = samples.image(1)
    edit.paste((255, 0, 0), (12, 12, 28, 28))
    edit.save(tmp_path / "edit.png")
    about, kept = protocols.about("folder"), {"good": {"files": ["edit.png"]}}
    items = protocols.read("folder", data, Choice())
    expected = next(line for line in measured(items, about, Models(), kept, tmp_path) if line["row"] == "good")
    mask = torch.zeros(1, SIZE[1], SIZE[0])
    mask[:, 10:30, 10:30] = 1
    pixels = torch.from_numpy(np.asarray(edit) / np.float32(255))[None]
    (found,) = measure(batch(1), pixels, target=batch(2, size=(32, 24)), mask=mask)
    assert found.values == expected["metrics"] and found.size == SIZE
    assert {"l1", "psnr", "ssim", "psnr_masked", "psnr_found", "ssim_found"} <= set(found.values)


def test_edit_i_belongs_to_source_i_modulo_b():
    source = batch(1, 2)
    found = measure(source, torch.cat([source, 1 - source]))
    assert [one.values["l1"] == 0 for one in found] == [True, True, False, False]
    text = edits.report(found)
    assert text.splitlines()[0].startswith("edit 0: l1 0, l2 0, psnr 100, ssim 1")
    assert "mean of 4 edits: l1 " in text
    assert "left out of 4 of 4 edits: CLIP: no file of its weights is given" in text
    told = json.loads(edits.numbers(found, edits.Given(), Models()))
    assert told["against"] == "source" and len(told["edits"]) == 4
    assert told["left_out"]["the unedited part by mask: there is no mask"] == 4
    assert told["mean"]["l1"] == pytest.approx(np.mean([one.values["l1"] for one in found]))
    assert told["weights"] == {"clip": None, "dino": None, "lpips": None}


def test_everything_that_can_be_chosen_comes_with_everything_given(models):  # noqa: F811
    mask = torch.zeros(1, SIZE[1], SIZE[0])
    mask[:, 10:30, 10:30] = 1
    edit = batch(1)
    edit[:, 12:28, 12:28] = 1 - edit[:, 12:28, 12:28]
    (found,) = measure(batch(1), edit, models, mask=mask, captions=("a cat", "a red cat"))
    assert set(found.values) == set(edits.VALUES) and not found.left
    assert edits.chosen([found], "clip_t") == [found.values["clip_t"]]
    told = json.loads(edits.numbers([found], edits.Given(), models))
    assert all(len(value) == 64 for value in told["weights"].values())


def test_a_library_that_is_missing_is_named(models, monkeypatch):  # noqa: F811
    for library in ("torchmetrics", "transformers"):
        monkeypatch.setitem(sys.modules, library, None)
    without = Models(models.files["clip"], models.files["dino"], models.files["lpips"])
    (found,) = measure(batch(1), batch(1), without)
    assert found.left == [
        "SSIM: the package torchmetrics is not installed", "LPIPS: the package torchmetrics is not installed",
        "the unedited part by mask: there is no mask", "CLIP: the package transformers is not installed",
        "DINO: the package transformers is not installed",
    ]  # fmt: skip
    assert {"l1", "l2", "psnr", "psnr_found", "changed_share"} == set(found.values)


def test_a_metric_that_no_edit_has():
    found = measure(batch(1), batch(1))
    with pytest.raises(ValueError, match="metric is clip_i, but no edit has it .*CLIP: no file of its weights"):
        edits.chosen(found, "clip_i")
    one = edits.Measured({"psnr_found": 3.0}, [], SIZE)
    values = edits.chosen([one, edits.Measured({}, [], SIZE)], "psnr_found")
    assert values[0] == 3 and math.isnan(values[1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"edit": batch(1, 2, 3)}, "3 edits for 2 sources"),
        ({"target": batch(1, 2, 3)}, "3 targets for 2 sources"),
        ({"captions": ("a", " ")}, "a caption of the source alone"),
        ({"mask": torch.ones(1, 5, 5)}, "mask is 5x5 px"),
        ({"source": torch.ones(1, 5, 5)}, "source is"),
    ],
)
def test_what_does_not_belong_together(change, words):
    given = {"source": batch(1, 2), "edit": batch(1, 2)} | change
    with pytest.raises(ValueError, match=f"ICEdit Metrics: .*{words}"):
        measure(given.pop("source"), given.pop("edit"), **given)


def test_a_folder_that_lacks_weights_is_refused(models, tmp_path):  # noqa: F811
    from safetensors.torch import load_file, save_file

    folder = models.files["dino"]
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    state = load_file(str(folder / "model.safetensors"))
    save_file({name: value for name, value in state.items() if "layer.1" not in name and "layers.1" not in name},
              str(tmp_path / "model.safetensors"), {"format": "pt"})  # fmt: skip
    with pytest.raises(ValueError, match="DINO: .* has no weights .* but all are needed"):
        Models(dino=tmp_path)
    with pytest.raises(ValueError, match="CLIP: got .* of type vit, but .* of type clip is needed"):
        Models(clip=folder)
