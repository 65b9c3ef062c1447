"""FLUX Fill in diffusers' layout as a base, against diffusers' own pipeline; what a base refuses."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import FluxFillPipeline
from safetensors.torch import load_file

from demo.model_files import WEIGHTS
from icedit_core.training.base import Base, load_base

from ..rounding import assert_rounded, error
from .training_models import POOLED, WIDTH, write_flux_folder

PROMPTS = ["make the circle red", " ", "a much longer instruction, with a second part and (brackets)" * 3]


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FluxFillPipeline]:
    folder = tmp_path_factory.mktemp("base") / "flux"
    return folder, write_flux_folder(folder)


@pytest.fixture
def base(flux) -> Base:
    return load_base(str(flux[0]), torch.float32)


def test_prompts_are_encoded_as_the_pipeline_does(flux, base: Base):
    states, pooled = base.encode_prompts(PROMPTS)
    with torch.no_grad():
        expected, expected_pooled, _ = flux[1].encode_prompt(PROMPTS, None, max_sequence_length=512)
    assert states.shape == (3, 512, WIDTH)
    assert pooled.shape == (3, POOLED)
    assert_rounded(states, expected)
    assert_rounded(pooled, expected_pooled)
    assert error(states[:1], states[1:2]) > 0.1


@torch.no_grad()
def test_latents_of_target_and_condition_are_the_published_trainings(flux, base: Base):
    """Source | 0.5 is the pipeline's masked picture; see train/src/flux/pipeline_tools.py of River-Zhang/ICEdit."""
    pipe = flux[1]
    diptych = torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 1, 32, 64)
    mask[..., 32:] = 1
    picture = pipe.image_processor.preprocess(diptych, height=32, width=64)
    hole = pipe.mask_processor.preprocess(mask, height=32, width=64)
    packed_mask, packed = pipe.prepare_mask_latents(
        hole, picture * (1 - hole), 2, 16, 1, 32, 64, torch.float32, torch.device("cpu"), None
    )
    grey = diptych.clone()
    grey[..., 32:] = 0.5
    expected = pipe._unpack_latents(packed, 32, 64, pipe.vae_scale_factor)
    assert_rounded(base.encode_images(grey), expected)
    assert packed_mask.shape == (2, 8, 256)
    drawn = (pipe.vae.encode(picture).latent_dist.sample() - 0.1159) * 0.3611
    assert_rounded(base.encode_images(diptych), drawn)


@torch.no_grad()
def test_decoding_is_the_pipelines(flux, base: Base):
    pipe = flux[1]
    latents = torch.randn(1, 16, 4, 8, generator=torch.Generator().manual_seed(1))
    expected = pipe.image_processor.postprocess(pipe.vae.decode(latents / 0.3611 + 0.1159).sample, "pt")
    found = base.decode_latents(latents)
    assert_rounded(found, expected)
    assert 0 <= found.min() <= found.max() <= 1


def test_the_transformer_is_the_folders_and_frozen(flux, base: Base):
    expected = flux[1].transformer.state_dict()
    found = base.transformer.state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    assert not base.transformer.training
    assert not any(p.requires_grad for p in base.transformer.parameters())
    assert (base.config["in_channels"], base.guidance) == (384, 1.0)
    assert type(base.transformer)(**base.config).config.num_layers == 1


def test_parts_are_loaded_on_use_and_dropped(base: Base):
    assert not {"transformer", "_texts", "_autoencoder"} & set(vars(base))
    base.encode_prompts(["x"])
    base.encode_images(torch.rand(1, 3, 16, 32))
    base.drop_encoders(keep_autoencoder=True)
    assert "_autoencoder" in vars(base) and "_texts" not in vars(base)
    base.drop_encoders()
    assert "_autoencoder" not in vars(base) and "transformer" not in vars(base)
    assert base.encode_prompts(["x"])[0].shape == (1, 512, WIDTH)


def test_bfloat16(flux):
    base = load_base(str(flux[0]), torch.bfloat16)
    states, _ = base.encode_prompts(["x"])
    assert states.dtype == base.encode_images(torch.rand(1, 3, 16, 32)).dtype == torch.bfloat16
    assert base.transformer.dtype == torch.bfloat16
    assert base.decode_latents(torch.zeros(1, 16, 2, 4)).dtype == torch.float32


def test_a_prompt_that_would_be_cut_is_refused(base: Base):
    assert base.prompt_problem("ab " * 100) is None
    assert "at most 512" in base.prompt_problem("a" * 600)
    with pytest.raises(ValueError, match=r"has \d+ tokens, but at most 512"):
        base.encode_prompts(["a" * 600])


def test_fingerprints_follow_the_files(flux, tmp_path: Path):
    copy = shutil.copytree(flux[0], tmp_path / "copy")
    first, second = load_base(str(flux[0]), torch.float32), load_base(str(copy), torch.float32)
    assert first.fingerprint() == second.fingerprint()
    assert first.fingerprint() != load_base(str(copy), torch.bfloat16).fingerprint()
    config = json.loads((copy / "transformer" / "config.json").read_text())
    (copy / "transformer" / "config.json").write_text(json.dumps(config))  # other blanks
    third = load_base(str(copy), torch.float32)
    assert third.fingerprint() != first.fingerprint()
    assert third.encoders_fingerprint() == first.encoders_fingerprint()


def test_a_folder_that_is_no_flux_fill_is_told(flux, tmp_path: Path):
    with pytest.raises(ValueError, match="has no transformer, vae"):
        load_base(str(tmp_path))
    copy = shutil.copytree(flux[0], tmp_path / "copy")
    path = copy / "transformer" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "in_channels": 64}))
    with pytest.raises(ValueError, match="64 input channels"):
        load_base(str(copy))
    path.unlink()
    with pytest.raises(ValueError, match=r"config\.json cannot be read"):
        load_base(str(copy))
    if hasattr(os, "mkfifo"):
        os.mkfifo(path)
        with pytest.raises(ValueError, match=r"config\.json cannot be read \(is no regular file\)"):
            load_base(str(copy))


def test_no_pickled_weights_are_read(flux, tmp_path: Path):
    copy = shutil.copytree(flux[0], tmp_path / "copy")
    for name in ("transformer", "vae", "text_encoder", "text_encoder_2"):
        for path in (copy / name).glob("*.safetensors"):
            torch.save(load_file(path), path.with_name(path.name.replace(".safetensors", ".bin")))
            path.unlink()
    base = load_base(str(copy), torch.float32)
    for loads in (lambda: base.transformer, lambda: base.encode_images(torch.rand(1, 3, 16, 32)), lambda: base._texts):
        with pytest.raises(OSError, match="safetensors"):
            loads()


def test_the_demos_files_are_told_when_missing(tmp_path: Path):
    (tmp_path / "icedit_demo_fill.safetensors").touch()
    with pytest.raises(ValueError, match=r"has no icedit_demo_vae\.safetensors.*config\.json"):
        load_base(str(tmp_path))


def test_the_demo_asks_for_a_tokenizer(tmp_path: Path):
    with pytest.raises(ValueError, match=r"got no tokenizer, but .*t5_tokenizer of a ComfyUI"):
        load_base(str(WEIGHTS))
    with pytest.raises(ValueError, match=r"without a tokenizer\.json, but T5's tokenizer is needed"):
        load_base(str(WEIGHTS), tokenizer=str(tmp_path))
