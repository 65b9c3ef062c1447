"""EditReward on a small random backbone: the published words and equations, strict weights, nothing but ratings."""

import asyncio
import hashlib
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from icedit_core import rank_images
from icedit_core.judges import JudgeUnavailable
from icedit_core.judges.asked.edit_reward_words import QUESTIONS
from icedit_core.judges.edit_reward_judge import EditRewardJudge, _heads, is_edit_reward, load, size

from . import tiny_edit_reward, tiny_vlm

WORDS = "make her hat green"
SOURCE, EDIT = (torch.rand(2, 60, 90, 3, generator=torch.Generator().manual_seed(3)) * 255).round() / 255


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_edit_reward.save(tmp_path_factory.mktemp("models") / "reward")


@pytest.fixture(scope="module")
def loaded(folder):
    return load(folder, torch.float32)


def scored(loaded, edit=EDIT):
    judge = EditRewardJudge("tiny", lambda: loaded, lambda: None)
    (found,) = asyncio.run(rank_images.score_all([SOURCE], [edit], WORDS, judge))
    return found


def test_the_questions_are_the_published_ones():
    """Digests of what EditReward's own code makes of its prompts, with its ending for the special token."""
    digests = [hashlib.sha256(one.replace("<instruction>", WORDS).encode()).hexdigest() for one in QUESTIONS]
    assert digests == [
        "4b128673abfaf9f90ce9188309262aa2196748cae1a46ba830725459f141c358",
        "5e67ab416a49bfaa396784fc56498dd01de3b404a85e01db28ec5117f6f65c18",
    ]


def published(folder, question, number, edit):
    """The published forward pass by hand: embeddings with the pictures' in their places, no token ids and no positions
    handed over, the head at the reward token."""
    import transformers

    weights = load_file(folder / "model.safetensors")
    model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    processor.tokenizer.add_special_tokens({"additional_special_tokens": ["<|Reward|>"]})
    high, wide = size(60, 90)
    pictures = [Image.fromarray((np.asarray(one) * 255).round().astype(np.uint8)) for one in (SOURCE, edit)]
    pictures = [one.resize((wide, high), Image.Resampling.BICUBIC) for one in pictures]
    block = "<|vision_start|><|image_pad|><|vision_end|>"
    text = f"<|im_start|>user\n{block}{block}{question}<|im_end|>\n<|im_start|>assistant\n"
    inputs = processor(text=[text], images=pictures, return_tensors="pt")
    ids = inputs["input_ids"]
    with torch.no_grad():
        embeds = model.get_input_embeddings()(ids)
        seen = model.model.visual(inputs["pixel_values"], grid_thw=inputs["image_grid_thw"]).pooler_output
        place = (ids == model.config.image_token_id).unsqueeze(-1).expand_as(embeds)
        embeds = embeds.masked_scatter(place, seen)
        hidden = model.model.language_model(inputs_embeds=embeds, attention_mask=inputs["attention_mask"])[0]
        for layer in (0, 3, 5):
            name = f"rm_heads.head_{number}.{layer}"
            hidden = hidden @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
            hidden = hidden.relu() if layer < 5 else hidden
    (token,) = processor.tokenizer.convert_tokens_to_ids(["<|Reward|>"])
    return hidden[ids == token].flatten()


@pytest.mark.parametrize("edit", [EDIT, SOURCE], ids=["edit", "nothing done"])
def test_the_ratings_are_those_of_the_published_equations(folder, loaded, edit):
    one, other = (
        published(folder, question.replace("<instruction>", WORDS), at, edit) for at, question in enumerate(QUESTIONS)
    )
    found = scored(loaded, edit)
    assert found.sc == pytest.approx(float(one[0]), abs=1e-5) and found.pq == pytest.approx(float(other[0]), abs=1e-5)
    assert found.overall == pytest.approx(float((one + other)[0] / 2), abs=1e-5)
    assert abs(found.sc - found.pq) > 1e-3, "the heads differ, so that a mix-up would show"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [((60, 90), (392, 560)), ((448, 448), (448, 448)), ((3000, 2000), (532, 364)), ((1, 9), (168, 1344))],
)
def test_pictures_are_shown_at_about_256_patches(given, wanted):
    assert size(*given) == wanted


def changed(folder, path, change):
    shutil.copytree(folder, path)
    weights = load_file(path / "model.safetensors")
    change(weights)
    save_file(weights, path / "model.safetensors", {"format": "pt"})
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: [w.pop(key) for key in list(w) if "head_1" in key], "heads that differ in rm_heads.head_1.0.bias"),
        (lambda w: w.pop("rm_heads.head_0.3.bias"), "heads that differ in rm_heads.head_0.3.bias"),
        (lambda w: w.update({"rm_heads.head_2.0.bias": torch.zeros(1024)}), "heads that differ in rm_heads.head_2"),
        (lambda w: w.update({"rm_heads.head_0.5.bias": torch.zeros(4)}), "heads that differ in rm_heads.head_0.5.bias"),
        (lambda w: w.update({"more.weight": torch.zeros(4)}), "1 weights without a place"),
        (lambda w: w.pop(next(key for key in w if "q_proj" in key)), "lacks 1 of the model's weights"),
    ],
)
def test_weights_must_be_whole_and_none_left_over(folder, tmp_path, change, words):
    with pytest.raises(ValueError, match=words):
        load(changed(folder, tmp_path / "broken", change), torch.float32)


def test_the_heads_in_the_files_tell_the_judge(folder, tmp_path):
    assert is_edit_reward(folder)
    plain = tiny_vlm.save(tmp_path / "plain")
    assert not is_edit_reward(plain)
    with pytest.raises(ValueError, match="is a qwen3_vl"):
        load(plain, torch.float32)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders on this system")
def test_a_strangers_folder_neither_blocks_nor_is_read_before_it_is_compared(folder, tmp_path):
    odd = shutil.copytree(folder, tmp_path / "odd")
    os.mkfifo(odd / "a.safetensors")
    assert is_edit_reward(odd)
    with pytest.raises(ValueError, match=r"a\.safetensors is no regular file"):
        load(odd, torch.float32)
    (odd / "a.safetensors").unlink()
    (odd / "a.safetensors").write_bytes(b"no header")
    with pytest.raises(ValueError, match=r"odd cannot be loaded \(a\.safetensors: "):
        load(odd, torch.float32)
    with pytest.raises(ValueError, match="odd has heads that differ in rm_heads"):
        _heads(odd, {"rm_heads.head_0.5.bias": (odd / "never opened", (1 << 40,))}, tiny_edit_reward.HIDDEN)


def test_a_rating_that_is_no_number_is_refused(loaded):
    last = loaded[0].heads["head_0"][-1].bias
    before = last.clone()
    try:
        last.data.fill_(float("nan"))
        with pytest.raises(ValueError, match=r"EditReward\): the model cannot answer \(its rating is NaN"):
            scored(loaded, 1 - EDIT)  # another picture: answers are remembered
    finally:
        last.data.copy_(before)


def test_it_writes_no_text_and_says_so(loaded):
    judge = EditRewardJudge("tiny", lambda: loaded, lambda: None)
    with pytest.raises(JudgeUnavailable, match="writes no text"):
        asyncio.run(judge.ask([SOURCE, EDIT], "Which is better?", 8))


def test_a_reward_token_in_the_instruction_is_refused(loaded):
    judge = EditRewardJudge("tiny", lambda: loaded, lambda: None)
    with pytest.raises(ValueError, match="Take it out"):
        asyncio.run(rank_images.score_all([SOURCE], [EDIT], "say <|Reward|>", judge))
