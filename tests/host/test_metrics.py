"""ICEdit Metrics on a real server: behind the host's own nodes, with CLIP and DINO from the host's lists."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from icedit_core.client import ExecutionFailed

from .test_keep_unedited import picture, uploaded


def graph_of(source, edit, **inputs):
    load = {name: {"class_type": "LoadImage", "inputs": {"image": file}} for name, file in (("s", source), ("e", edit))}
    metrics = {"class_type": "ICEditMetrics", "inputs": {"source": ["s", 0], "edit": ["e", 0]} | inputs}
    show = {"class_type": "PreviewAny", "inputs": {"source": ["m", 1]}}
    value = {"class_type": "PreviewAny", "inputs": {"source": ["m", 2]}}
    return load | {"m": metrics, "json": show, "value": value}


@pytest.fixture(scope="module")
def weights(server, tmp_path_factory):
    """Small DINO with random weights below the server's models/clip_vision."""
    from transformers import ViTConfig, ViTModel

    folder = tmp_path_factory.mktemp("dino")
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(1)
    ViTModel(ViTConfig(**small, image_size=224, patch_size=16)).save_pretrained(folder)
    for file in folder.iterdir():
        server.place_model(f"clip_vision/tiny-dino/{file.name}", file)


async def test_numbers_of_an_edit_and_what_is_left_out(server, client, tmp_path, weights):
    source = picture(1)
    edit = source.copy()
    edit[90:150, 120:200] = (250, 20, 30)
    names = [await uploaded(client, tmp_path, n, a) for n, a in (("ms", source), ("me", edit))]
    result = await client.run(graph_of(*names, dino="tiny-dino", metric="psnr_found"), timeout=120)
    told = json.loads(result.text("json"))
    values = told["edits"][0]["metrics"]
    difference = np.abs(edit.astype(np.float64) - source) / 255
    assert values["l1"] == pytest.approx(difference.mean(), abs=1e-6)
    assert values["psnr"] == pytest.approx(-10 * math.log10(np.square(difference).mean()), abs=1e-4)
    assert values["psnr_found"] > 50 > values["psnr"]
    assert 0 < values["dino"] <= 1 and len(told["weights"]["dino"]) == 64
    assert float(result.text("value")) == pytest.approx(values["psnr_found"])
    assert told["left_out"]["CLIP: no file of its weights is given"] == 1
    assert "edit 0: l1 " in result.text("m") and "left out of 1 of 1 edits: LPIPS" in result.text("m")


async def test_a_metric_without_its_weights_says_what_it_needs(client, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "x.png")
    name = (await client.upload_image(tmp_path / "x.png")).widget
    with pytest.raises(ExecutionFailed, match="metric is clip_i, but no edit has it .*CLIP: no file of its weights"):
        await client.run(graph_of(name, name, metric="clip_i"), timeout=60)
