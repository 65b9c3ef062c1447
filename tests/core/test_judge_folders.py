"""A stranger's model and adapter folders: what they ask for is refused in words, not run, fetched or allocated."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from icedit_core.judges import chat_template, model_folder
from icedit_core.judges.transformers_judge import TransformersJudge, load

from . import tiny_vlm

DEEP = "[" * 50_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_vlm.save(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def saved_adapter(folder, tmp_path_factory) -> Path:
    return tiny_vlm.save_adapter(folder, tmp_path_factory.mktemp("adapters") / "lora")


@pytest.fixture
def broken(folder, tmp_path) -> Path:
    return shutil.copytree(folder, tmp_path / "broken")


@pytest.fixture
def adapter(saved_adapter, tmp_path) -> Path:
    return shutil.copytree(saved_adapter, tmp_path / "adapter")


def change(file: Path, **values) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


MEGATRON = {"megatron_config": {"a": 1}, "megatron_core": "stranger.evil"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (MEGATRON, "it asks for megatron_config"),
        ({"peft_type": "PROMPT_TUNING", "tokenizer_name_or_path": "stranger/evil"}, "its peft_type is PROMPT_TUNING"),
        ({"peft_type": "XLORA", "adapters": {"0": "stranger/evil"}}, "its peft_type is XLORA"),
        ({"peft_type": "NONSENSE"}, "its peft_type is NONSENSE"),
        ({"peft_type": ["LORA"]}, r"its peft_type is \['LORA'\]"),
        ({"use_dora": True}, "it asks for use_dora"),
        ({"arrow_config": {"a": 1}}, "it asks for arrow_config"),
        ({"bias": "all"}, "its bias is all"),
        ({"init_lora_weights": "pissa"}, "its init_lora_weights is pissa"),
        ({"lora_alpha": "8"}, "a lora_alpha is 8"),
        ({"lora_alpha": 1e300}, r"a lora_alpha is 1e\+300"),
        ({"alpha_pattern": {"(a+)+b": 8}}, r"alpha_pattern has \(a\+\)\+b"),
        ({"alpha_pattern": [8]}, "a lora_alpha is None"),
    ],
)
def test_an_adapter_that_is_more_than_a_plain_lora_is_refused(folder, adapter, values, words):
    change(adapter / "adapter_config.json", **values)
    with pytest.raises(ValueError, match=f"the adapter adapter is not taken .*{words}.*Choose a plain LoRA"):
        load(folder, adapter, torch.float32)


def test_no_module_that_an_adapter_names_is_imported(folder, adapter, tmp_path, monkeypatch):
    """The library's own list of modules is a matter of its version: 0.18 imported any. So it is not even asked."""
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "peft"]:
        monkeypatch.setitem(sys.modules, name, None)  # importing it now raises
    load(folder, adapter, torch.float32)
    change(adapter / "adapter_config.json", megatron_config={"a": 1}, megatron_core="evil")
    with pytest.raises(ValueError, match="it asks for megatron_config"):
        load(folder, adapter, torch.float32)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "no JSON object, but a list"),
        (DEEP, "nested too deeply"),
        ("{", "no JSON"),
        ("1" * 5000, "no JSON"),
        ("", "no JSON"),
    ],
)
def test_settings_that_are_none(folder, broken, adapter, text, words):
    (adapter / "adapter_config.json").write_text(text)
    with pytest.raises(ValueError, match=f"adapter_config.json .*{words}"):
        load(folder, adapter, torch.float32)
    for name in ("config.json", "processor_config.json"):
        before = (broken / name).read_text()
        (broken / name).write_text(text)
        with pytest.raises(ValueError, match=rf"broken is not taken \({name} .*{words}"):
            load(broken, None, torch.float32)
        (broken / name).write_text(before)


def test_settings_are_compared_with_the_weights_and_not_believed(folder, adapter):
    """A rank of 10^9 was allocated for; the weights' own rank counts."""
    expected, _ = load(folder, adapter, torch.float32)
    change(adapter / "adapter_config.json", r=10**9)
    found, _ = load(folder, adapter, torch.float32)
    assert all(map(torch.equal, expected.parameters(), found.parameters()))


def test_an_adapters_shapes_are_the_models_before_anything_is_read(folder, adapter, monkeypatch):
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    key = next(key for key in weights if key.endswith("layers.0.self_attn.q_proj.lora_A.weight"))
    other = key.replace("lora_A", "lora_B")
    weights[key], weights[other] = torch.ones(1 << 15, 32), torch.ones(32, 1 << 15)
    save_file(weights, file)
    with pytest.raises(ValueError, match=r"do not fit .*q_proj \(32768, 32\) \(32, 32768\)"):
        load(folder, adapter, torch.float32)


def test_an_adapter_with_names_of_before_is_merged(folder, adapter):
    expected, _ = load(folder, adapter, torch.float32)
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    save_file({key.replace("model.language_model.layers", "model.layers"): weights[key] for key in weights}, file)
    found, _ = load(folder, adapter, torch.float32)
    assert all(map(torch.equal, expected.parameters(), found.parameters()))


@pytest.mark.parametrize("values", [{}, {"use_rslora": True}, {"alpha_pattern": {"q_proj": 3, "0.mlp.down_proj": 5}}])
def test_the_merged_weights_are_those_of_peft(folder, adapter, values):
    """All that the configuration says counts as in the library."""
    from peft import PeftModel

    change(adapter / "adapter_config.json", **values)
    base, _ = load(folder, None, torch.float32)
    theirs = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()
    ours, _ = load(folder, adapter, torch.float32)
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter, theirs.get_parameter(name))


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("config.json", {"quantization_config": {"quant_method": "stranger"}}, "asks for quantization_config"),
        ("config.json", {"model_type": "nonsense"}, "its model_type is nonsense"),
        ("config.json", {"model_type": ["a"]}, r"its model_type is \['a'\]"),
        ("config.json", {"text_config": {"num_hidden_layers": 10**9}}, "num_hidden_layers is 1000000000"),
        ("config.json", {"text_config": 5}, "cannot be loaded"),
        ("config.json", {"vision_config": {"hidden_size": 1 << 20, "num_heads": 2}}, "means a model of"),
        ("config.json", {"text_config": {"hidden_size": "many"}}, "cannot be loaded"),
        ("processor_config.json", {"image_processor": {"size": {"height": 10**6, "width": 9}}}, "height 1000000"),
        ("processor_config.json", {"image_processor": {"size": [9, 10**5]}}, r"size \[9, 100000\], above 4096"),
        ("processor_config.json", {"image_processor": {"temporal_patch_size": 10**5}}, "temporal_patch_size 100000"),
        ("processor_config.json", {"image_seq_length": 10**9}, "image_seq_length 1000000000"),
        ("model.safetensors.index.json", {"weight_map": {"a": "../other.safetensors"}}, "names the file ../other"),
    ],
)
def test_a_models_settings_are_checked_before_it_is_made(broken, name, values, words):
    file = broken / name
    if not file.exists():
        file.write_text("{}")
    change(file, **values)
    with pytest.raises(ValueError, match=f"broken .*{words}"):
        load(broken, None, torch.float32)


def test_how_to_attend_is_ours_to_say(broken):
    """A configuration could name a repository with a kernel."""
    config = json.loads((broken / "config.json").read_text())
    for part in (config, config["text_config"], config["vision_config"]):
        part |= {"attn_implementation": "stranger/kernel", "_attn_implementation": "stranger/kernel"}
        part |= {"experts_implementation": "stranger/kernel"}
    (broken / "config.json").write_text(json.dumps(config))
    model, _ = load(broken, None, torch.float32)
    for part in (model.config, model.config.text_config, model.config.vision_config):
        assert part._attn_implementation == "sdpa"


def test_an_older_library_is_not_trusted(folder, monkeypatch):
    monkeypatch.setattr(model_folder.importlib.metadata, "version", lambda name: "4.50.3")
    with pytest.raises(ValueError, match="transformers is 4.50.3, but 4.57 or newer is needed"):
        load(folder, None, torch.float32)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name are POSIX's")
def test_a_pipe_in_a_folder_does_not_block(folder, broken):
    os.mkfifo(broken / "vocab.json")
    with pytest.raises(ValueError, match="vocab.json is no regular file"):
        load(broken, None, torch.float32)


ENDLESS = "{% set r = range(99999) %}" + "{% for a in r %}" * 9 + "{% endfor %}" * 9


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (ENDLESS, "did not end in 1 s"),
        ("{% set a = 10 ** 9 %}{{ 10 ** a }}", "did not end in 1 s"),
        ("{{ 'a' * 9999999999 }}", "MemoryError"),
        ("{% set a = 'a' * 99999 %}{% for i in range(9999) %}{{ a }}{% endfor %}", "more than 1048576 characters"),
        ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "RecursionError"),
        ("{{ ''.__class__.__mro__ }}", "SecurityError"),
        ("{% for", "TemplateSyntaxError"),
        ("{{ raise_exception('no') }}", "TemplateError: no"),
        (None, "chat template is NoneType"),
    ],
)
def test_a_template_ends(template, words):
    begun = time.monotonic()
    with pytest.raises(ValueError, match=words):
        chat_template.rendered(template, {}, lambda: None, 1.0)
    assert time.monotonic() - begun < 5


def test_a_template_renders_as_the_library_does():
    """A published one, with what such templates use."""
    from transformers.utils.chat_template_utils import render_jinja_template

    template = (
        "{%- if messages[0].role != 'system' %}\n  {{- '<|im_start|>system\\n\u4f60\U0001f600 \"a\"<|im_end|>\\n' }}\n"
        "{%- endif %}\n{% for m in messages %}\n{% if loop.first %}{% continue %}{% endif %}\n"
        "{% generation %}{{ m.content | tojson }}{% endgeneration %}\n{% endfor %}\n"
        "{% set ns = namespace(a=1) %}{% set ns.a = dict(b=2) %}{{ ns.a.b }}{{ bos_token }}\n\n"
    )
    messages = [{"role": "user", "content": "hi"}, {"role": "user", "content": [{"type": "text", "text": "<\u00e4>"}]}]
    (expected,), _ = render_jinja_template([messages], chat_template=template, bos_token="<s>")
    assert chat_template.rendered(template, {"messages": messages, "bos_token": "<s>"}, lambda: None) == expected


async def test_cancel_reaches_a_template(folder):
    class Cancelled(BaseException):
        pass

    begun = time.monotonic()

    def stop():
        if time.monotonic() - begun > 0.5:
            raise Cancelled

    model, processor = load(folder, None, torch.float32)
    processor.chat_template = ENDLESS
    judge = TransformersJudge("tiny", lambda: (model, processor), stop)
    with pytest.raises(Cancelled):
        await judge.ask([torch.rand(64, 64, 3)], "Which?", 2)
    assert time.monotonic() - begun < 5
