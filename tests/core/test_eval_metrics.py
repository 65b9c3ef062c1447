"""Metrics against facts, against other implementations, and features against transformers' own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from demo import scenes as demo
from icedit_core.evaluation import metrics, protocols
from icedit_core.evaluation.metrics import clip_score, structure, success
from icedit_core.evaluation.metrics.models import Models, middle
from icedit_core.evaluation.metrics.pair import Pair, planes, right_square, tensor

from . import eval_samples as samples

PLAIN = ("pixels", "quality", "masked", "unedited")


def pair(source: torch.Tensor, edit: torch.Tensor, **more) -> Pair:
    return Pair(source, edit, source, edit, **more)


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    return tensor(samples.image(3, (96, 64)))


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Models:
    """Small CLIP, DINO and LPIPS with random weights, from files."""
    folder = tmp_path_factory.mktemp("models")
    return Models(small_clip(folder / "clip"), small_dino(folder / "dino"), small_lpips(folder / "squeeze.pth"))


def small_clip(folder: Path) -> Path:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    letters = [chr(code) for code in range(97, 123)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[])
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    end = len(words) - 1
    text = small | {"vocab_size": len(words), "bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    config = CLIPConfig(text_config=text, vision_config=small | {"image_size": 64, "patch_size": 16}, projection_dim=24)
    CLIPModel(config).save_pretrained(folder)
    seen = CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    CLIPProcessor(seen, tokenizer).save_pretrained(folder)
    return folder


def small_dino(folder: Path) -> Path:
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(1)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ViTModel(ViTConfig(**small, image_size=224, patch_size=16)).save_pretrained(folder)
    return folder


def small_lpips(file: Path) -> Path:
    from torchvision.models import squeezenet1_1

    torch.manual_seed(2)
    torch.save(squeezenet1_1(weights=None).state_dict(), file)
    return file


def values(made: Pair, given: Models | None = None, names=PLAIN) -> dict[str, float]:
    return metrics.measure(made, given or Models(), names)[0]


def test_equal_pictures(picture: torch.Tensor):
    mask = torch.zeros(picture.shape[:2], dtype=torch.bool)
    found = values(pair(picture, picture.clone(), mask=mask))
    assert found["l1"] == found["l2"] == found["mse_masked"] == found["changed_share"] == 0
    assert found["psnr"] == found["psnr_masked"] == found["psnr_found"] == 100
    assert found["ssim"] == pytest.approx(1) and found["ssim_found"] == pytest.approx(1)


def test_inverted_and_shifted_pictures(picture: torch.Tensor):
    found = values(pair(picture, 1 - picture), names=("pixels", "quality"))
    x = picture.double().numpy()
    assert found["l1"] == pytest.approx(np.abs(1 - 2 * x).mean(), abs=1e-6)
    assert found["l2"] == pytest.approx(np.square(1 - 2 * x).mean(), abs=1e-6)
    assert found["psnr"] == pytest.approx(-10 * np.log10(found["l2"]), abs=1e-4)
    shifted = values(pair(picture, picture.roll(8, 1)), names=("pixels", "quality"))
    assert shifted["l1"] > 0 and found["ssim"] < shifted["ssim"] < 1
    constant = values(pair(torch.full((32, 32, 3), 0.5), torch.full((32, 32, 3), 0.6)), names=("pixels", "quality"))
    assert constant["l1"] == pytest.approx(0.1, abs=1e-6) and constant["psnr"] == pytest.approx(20, abs=1e-4)


def test_the_unedited_part_by_mask_is_as_published(picture: torch.Tensor):
    edit = (picture + 0.02).clamp(0, 1)
    edit[20:40, 30:60] = 1 - edit[20:40, 30:60]
    mask = torch.zeros(picture.shape[:2], dtype=torch.bool)
    mask[20:40, 30:60] = True
    found = values(pair(picture, edit, mask=mask), names=("masked",))
    outside = 1 - mask.numpy()[..., None].astype(np.float64)
    mse = np.square(picture.numpy() * outside - edit.numpy() * outside).mean()
    assert found["mse_masked"] == pytest.approx(mse, abs=1e-9)
    assert found["psnr_masked"] == pytest.approx(-10 * np.log10(mse), abs=1e-4)
    assert values(pair(picture, edit, mask=torch.ones_like(mask)), names=("masked",)) == {}


def test_the_unedited_part_as_found(picture: torch.Tensor):
    edit = picture.clone()
    edit[16:48, 32:64] = 1 - edit[16:48, 32:64]
    found = values(pair(picture, edit), names=("unedited",))
    assert 0.1 < found["changed_share"] < 0.4 and found["psnr_found"] == 100
    assert values(pair(picture, edit), names=("quality",))["psnr"] < 25


def test_what_is_not_given_is_left_out_and_named(picture: torch.Tensor):
    found, left = metrics.measure(pair(picture, picture), Models(), metrics.NAMES)
    assert set(found) == {"l1", "l2", "psnr", "ssim", "changed_share", "psnr_found", "ssim_found"}
    assert left == [
        "LPIPS: no file of its weights is given", "the unedited part by mask: there is no mask",
        "success: there is no target", "CLIP: no file of its weights is given", "DINO: no file of its weights is given",
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(6))
def test_success_is_the_demos_checker(number: int):
    scene = demo.unseen(number + 1, first=0)[number]
    rng = np.random.default_rng(number)
    for mix, noise in ((0, 0.0), (1, 0.0), (0.96, 0.02), (0.9, 0.05), (0.5, 0.0), (1, 0.09)):
        edit = scene.source + mix * (scene.target - scene.source) + rng.normal(0, noise, scene.source.shape)
        edit = edit.clip(0, 1).astype(np.float32)
        expected = scene.check(edit)
        made = pair(torch.from_numpy(scene.source), torch.from_numpy(edit), target=torch.from_numpy(scene.target))
        found = success.measure(made, Models())
        assert found["success"] == float(expected.success)
        told = (found["share"], found["error_inside"], found["error_outside"])
        assert told == pytest.approx((expected.share, expected.inside, expected.outside), abs=1e-6)


def test_clips_features_are_transformers_own(models: Models, picture: torch.Tensor):
    from transformers import CLIPModel, CLIPProcessor

    folder = models.clip.config._name_or_path
    model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPProcessor.from_pretrained(folder)
    image = Image.fromarray((picture * 255).round().byte().numpy())
    given = processor(images=[image], text=["a red cat"], return_tensors="pt", padding=True)
    with torch.no_grad():
        out = model(**given)
    seen, read = models.clip_pictures([picture])[0], models.clip_words(["a red cat"])[0]
    assert torch.allclose(seen / seen.norm(), out.image_embeds[0], atol=1e-6)
    assert torch.allclose(read / read.norm(), out.text_embeds[0], atol=1e-6)
    found = values(pair(picture, 1 - picture, captions=("a cat", "a red cat")), models, ("clip", "clip_score"))
    score = 100 * out.image_embeds[0] @ out.text_embeds[0]
    same = clip_score.measure(pair(picture, picture, captions=("x", "a red cat")), models)
    assert same["clip_score_edit"] == pytest.approx(max(0.0, score.item()), abs=1e-4)
    assert set(found) == {"clip_i", "clip_t", "clip_dir", "clip_score_source", "clip_score_edit"}
    assert values(pair(picture, picture.clone()), models, ("clip",))["clip_i"] == pytest.approx(1, abs=1e-6)


def test_dinos_features_and_keys_are_transformers_own(models: Models, picture: torch.Tensor):
    given = middle(planes(picture))
    with torch.no_grad():
        out = models.dino(pixel_values=given, output_hidden_states=True)
    assert torch.allclose(models.dino_pictures([picture])[0], out.last_hidden_state[0, 0], atol=1e-6)
    assert values(pair(picture, picture.clone()), models, ("dino",))["dino"] == pytest.approx(1, abs=1e-6)
    keys = models.dino_keys(picture)
    assert keys.shape == (1 + (224 // 16) * (336 // 16), 32)
    cosines = structure.similarity(keys)
    expected = torch.nn.functional.cosine_similarity(keys[:, None], keys[None], dim=-1)
    assert torch.allclose(cosines, expected, atol=1e-5)
    assert values(pair(picture, picture.clone()), models, ("structure",)) == {"structure_distance": 0.0}
    assert values(pair(picture, 1 - picture), models, ("structure",))["structure_distance"] > 0


def test_dinos_transform_is_pillows(picture: torch.Tensor):
    image = Image.fromarray((picture * 255).round().byte().numpy())
    width, height = image.size
    large = image.resize((int(256 * width / height), 256), Image.Resampling.BICUBIC)
    left = (large.width - 224) // 2
    cut = np.asarray(large.crop((left, 16, left + 224, 240)), dtype=np.float32) / 255
    mean, std = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
    found = middle(planes(picture))[0].movedim(0, -1).numpy() * std + mean
    assert np.abs(found - cut).max() < 1.5 / 255  # Pillow rounds to 8 bits


def test_lpips_is_torchmetrics_with_the_files_weights(models: Models, picture: torch.Tensor):
    from torchmetrics.functional.image.lpips import _LPIPS

    other = _LPIPS(pretrained=True, net="squeeze", pnet_rand=True).eval()
    other.net.load_state_dict(models._lpips.net.state_dict())
    with torch.no_grad():
        expected = other(planes(picture) * 2 - 1, planes(1 - picture) * 2 - 1).item()
    assert models.lpips(picture, 1 - picture) == pytest.approx(expected, abs=1e-6) and expected > 0
    assert models.lpips(picture, picture) == 0


@pytest.mark.parametrize(("option", "words"), [("clip", "CLIP"), ("dino", "DINO"), ("lpips", "LPIPS")])
def test_folders_that_are_none(tmp_path: Path, option: str, words: str):
    (tmp_path / "x.pth").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=words):
        Models(**{option: tmp_path / "x.pth" if option == "lpips" else tmp_path})


def test_a_wide_result_is_cut_to_its_right_square():
    strip = Image.new("RGB", (1024, 512))
    strip.paste((255, 0, 0), (512, 0, 1024, 512))
    assert right_square(strip).getcolors() == [(512 * 512, (255, 0, 0))]
    assert right_square(Image.new("RGB", (300, 300))).size == (300, 300)


def test_every_protocol_names_metrics_that_there_are():
    for name in protocols.NAMES:
        about = protocols.about(name)
        assert about.name == name and set(about.metrics) <= set(metrics.NAMES) and about.words.endswith(".")
