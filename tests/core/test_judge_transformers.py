"""The transformers judge on a very small random Qwen3-VL: what it asks, what it loads, and what it refuses."""

import asyncio
import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from icedit_core.judges import Answer, transformers_judge
from icedit_core.judges.judge import Manner
from icedit_core.judges.pictures import made_small
from icedit_core.judges.transformers_judge import TransformersJudge, is_adapter_folder, is_model_folder, likely, load

from . import tiny_vlm

QUESTION = "Which is better, 1 or 2?"
PICTURES = list((torch.rand(3, 64, 96, 3, generator=torch.Generator().manual_seed(7)) * 255).round() / 255)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_vlm.save(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    tried = []

    def refuse(*args):
        tried.append(args[1:])
        raise OSError("there is no network in this test")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert tried == []


def judge_of(folder, adapter=None, stop=lambda: None):
    loaded = load(folder, adapter, torch.float32)
    return TransformersJudge("tiny", lambda: loaded, stop), loaded


async def ask(judge, pictures=None, most_tokens=4):
    return await judge.ask(pictures or PICTURES, QUESTION, most_tokens)


def first_token(model, processor, pictures) -> dict[str, float]:
    """The same question by hand: the published format, one forward pass."""
    import numpy as np
    from PIL import Image

    shown = [Image.fromarray((np.asarray(picture) * 255).round().astype(np.uint8)) for picture in pictures]
    blocks = "<|vision_start|><|image_pad|><|vision_end|>" * len(shown)
    text = f"<|im_start|>user\n{blocks}{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    with torch.no_grad():
        logits = model(**processor(text=[text], images=shown, return_tensors="pt")).logits[0, -1]
    return {processor.decode([token]): float(p) for token, p in enumerate(logits.softmax(-1))}


async def test_the_first_tokens_probabilities_are_the_models_own(folder):
    judge, (model, processor) = judge_of(folder)
    answer = await ask(judge)
    expected = first_token(model, processor, PICTURES)
    assert len(answer.probabilities) > 5 and len(answer.text) > 0
    readable = {text: p for text, p in answer.probabilities.items() if text.isascii()}
    assert len(readable) > 3
    assert readable == pytest.approx({text: expected[text] for text in readable}, abs=1e-6)


async def test_the_same_question_gets_the_same_answer_and_the_order_counts(folder):
    judge, (model, processor) = judge_of(folder)
    source, one, two = PICTURES
    answer, again, swapped = [await ask(judge, each) for each in (PICTURES, PICTURES, [source, two, one])]
    assert answer == again
    assert swapped.probabilities != answer.probabilities
    expected = first_token(model, processor, [source, two, one])
    text = next(text for text in swapped.probabilities if text.isascii())
    assert swapped.probabilities[text] == pytest.approx(expected[text], abs=1e-6)


async def test_alpha_and_values_out_of_range_do_not_disturb(folder):
    judge, _ = judge_of(folder)
    odd = [torch.cat([picture, torch.rand(64, 96, 1)], -1) for picture in PICTURES]
    assert await ask(judge, odd) == await ask(judge)
    bright = [PICTURES[0], PICTURES[1] + 1, PICTURES[2]]
    assert await ask(judge, bright) == await ask(judge, [bright[0], bright[1].clamp(0, 1), bright[2]])


async def test_the_folders_own_settings_for_generating_do_not_count(folder, tmp_path):
    wild = shutil.copytree(folder, tmp_path / "wild")
    file = wild / "generation_config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    settings |= {"do_sample": True, "temperature": 9.0, "top_k": 3, "repetition_penalty": 5.0, "max_new_tokens": 99}
    file.write_text(json.dumps(settings), encoding="utf-8")
    answers = [await ask(judge_of(each)[0], most_tokens=12) for each in (folder, wild)]
    assert answers[0] == answers[1] and len(answers[0].text.encode()) <= 3 * 12


async def test_larger_pictures_are_seen_at_the_size_that_is_set(folder):
    large = [torch.rand(128, 192, 3) for _ in PICTURES]
    judge, (model, processor) = judge_of(folder)
    judge.picture_side = 96
    small = [made_small(picture, 96) for picture in large]
    assert [one.shape for one in small] == [(64, 96, 3)] * 3
    assert await ask(judge, large) == await ask(judge, small)


async def test_words_alone_are_a_question_too(folder):
    judge, _ = judge_of(folder)
    answer = await judge.ask([], QUESTION, 4)
    assert answer.probabilities and answer != await ask(judge)


async def test_a_template_can_be_asked_not_to_think(folder):
    judge, (_, processor) = judge_of(folder)
    own = processor.chat_template
    processor.chat_template = own + "{% if enable_thinking is defined and not enable_thinking %}NO THOUGHTS{% endif %}"
    assert "NO THOUGHTS" not in judge._prompt(processor, 0, "a", Manner())
    judge.thought_tokens = 0
    assert judge._prompt(processor, 0, "b", Manner()).endswith("NO THOUGHTS")


async def test_marks_of_thoughts_stay_where_special_tokens_go(folder):
    judge, (_, processor) = judge_of(folder)
    marks = ["<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|return|>"]
    processor.tokenizer.add_special_tokens({"additional_special_tokens": marks})
    text = "<|channel|>analysis<|message|>1<|end|><|start|>assistant<|channel|>final<|message|>2<|return|>"
    told = torch.tensor(processor.tokenizer(text)["input_ids"])
    assert Answer(transformers_judge._text(processor, told)).text == "2"
    cut = torch.tensor(processor.tokenizer(text.split("<|end|>")[0])["input_ids"])
    assert Answer(transformers_judge._text(processor, cut)) == Answer("", cut=True)


async def test_an_answer_that_used_up_its_tokens_is_cut(folder):
    judge, _ = judge_of(folder)
    assert (await ask(judge, most_tokens=1)).cut


@pytest.mark.parametrize("at", [1, 3])
async def test_a_cancelled_question_ends_and_the_next_one_works(folder, at):
    class Cancelled(BaseException):
        pass

    calls = []

    def stop():
        calls.append(1)
        if len(calls) == at:
            raise Cancelled

    judge, _ = judge_of(folder, stop=stop)
    with pytest.raises(Cancelled):
        await ask(judge)
    assert len(calls) == at
    assert (await ask(judge)).probabilities


async def test_a_cancelled_ranking_asks_nothing_more(folder):
    judge, _ = judge_of(folder)
    judge._ready = lambda: pytest.fail("asked")
    asking = asyncio.ensure_future(ask(judge))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_tokens_that_read_alike_are_added_up():
    logits = torch.tensor([0.0, 1.0, 1.0, 2.0])
    shares = logits.softmax(-1).tolist()
    found = likely(logits, {0: "a", 1: "1", 2: "1", 3: "2"}.__getitem__)
    assert found == pytest.approx({"a": shares[0], "1": shares[1] + shares[2], "2": shares[3]})
    assert len(likely(torch.arange(500.0), str)) == 20


def test_scores_that_are_no_numbers_are_no_probabilities():
    with pytest.raises(ValueError, match="NaN"):
        likely(torch.tensor([0.0, float("nan"), 1.0]), str)


@pytest.fixture
def broken(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "broken")


def test_a_folder_without_weights_or_config(broken):
    assert is_model_folder(broken)
    (broken / "config.json").rename(broken / "no.json")
    with pytest.raises(ValueError, match=r"broken has no config.json or no .safetensors.*whole folder"):
        load(broken, None, torch.float32)


def test_pickled_weights_are_refused(broken):
    (file,) = broken.glob("*.safetensors")
    torch.save(load_file(file), broken / "pytorch_model.bin")
    file.unlink()
    assert not is_model_folder(broken)
    save_file({"x": torch.zeros(1)}, broken / "other.safetensors")  # looks like a model, but is none
    with pytest.raises(ValueError, match="broken cannot be loaded"):
        load(broken, None, torch.float32)


def test_missing_weights_are_an_error_and_not_random_numbers(broken):
    (file,) = broken.glob("*.safetensors")
    weights = load_file(file)
    weights.pop("lm_head.weight")
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 of the model's weights \(lm_head.weight"):
        load(broken, None, torch.float32)


def test_code_in_the_folder_is_not_run(broken):
    proof = broken / "ran"
    (broken / "evil.py").write_text(f"open({str(proof)!r}, 'w')\nclass Config: pass\n", encoding="utf-8")
    file = broken / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForImageTextToText": "evil.M"}}
    file.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ValueError, match="broken cannot be loaded"):
        load(broken, None, torch.float32)
    assert not proof.exists()


@pytest.fixture
def adapter(folder, tmp_path):
    return tiny_vlm.save_adapter(folder, tmp_path / "adapter")


async def test_an_adapter_counts(folder, adapter):
    assert is_adapter_folder(adapter) and not is_model_folder(adapter)
    judge, (model, processor) = judge_of(folder, adapter)
    plain, (base, _) = judge_of(folder)
    answer = await ask(judge)
    assert answer.probabilities != (await ask(plain)).probabilities

    weights = load_file(adapter / "adapter_model.safetensors")
    name = "model.language_model.layers.1.mlp.down_proj"
    a, b = (weights[f"base_model.model.{name}.lora_{part}.weight"] for part in "AB")
    expected = base.get_submodule(name).weight + 2 * b @ a
    torch.testing.assert_close(model.get_submodule(name).weight, expected)
    assert not any("lora" in name for name, _ in model.named_modules())


def test_an_adapter_of_another_model_is_refused(folder, adapter):
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    save_file({key.replace("layers.1", "layers.9"): value for key, value in weights.items()}, file)
    with pytest.raises(ValueError, match=r"adapter and the model do not fit .*layers\.9.*that the adapter was trained"):
        load(folder, adapter, torch.float32)
    save_file({key: value for key, value in weights.items() if "layers.1" not in key}, file)
    with pytest.raises(ValueError, match=r"adapter and the model do not fit .*layers\.1"):
        load(folder, adapter, torch.float32)


def test_a_pickled_adapter_is_refused(folder, adapter):
    file = adapter / "adapter_model.safetensors"
    torch.save(load_file(file), adapter / "adapter_model.bin")
    file.unlink()
    with pytest.raises(ValueError, match="adapter has no adapter_config.json or no adapter_model.safetensors"):
        load(folder, adapter, torch.float32)
