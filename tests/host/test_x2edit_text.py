"""X2Edit's text path in the host, against transformers' Qwen2.5-VL with the same small random weights."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from ..rounding import assert_rounded, error
from . import x2edit_case as case

LAYERS, WIDE, OUT, POOLED, PAD = 3, 128, 48, 24, 151643  # the first two as the small model of the pack has them


@pytest.fixture(scope="module")
def host(pack):
    from icedit_pack.icedit_core.x2edit import align, words
    from icedit_pack.nodes.host import x2_text

    return SimpleNamespace(align=align, words=words, text=x2_text)


@pytest.fixture(scope="module")
def small(pack):
    """The pack of the tests that has the small language model."""
    file = Path(__file__).parent / "packs" / "small_qwen" / "__init__.py"
    spec = importlib.util.spec_from_file_location("small_qwen", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def clip(small):
    return small.small_clip()


@pytest.fixture(scope="module")
def reference(clip, small):
    """The same weights in transformers' own class."""
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen
    from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig

    rope = {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1e6}
    config = Qwen2_5_VLTextConfig(**small.SIZES, rms_norm_eps=1e-6, rope_parameters=rope, attn_implementation="eager")
    model = qwen.Qwen2_5_VLTextModel(config).eval()
    model.load_state_dict(clip.cond_stage_model.qwen25_7b.transformer.model.state_dict())
    return model


def published_states(model, ids, real):
    """As transformers 4.51 calls it from `generate`: its mask opened for rows without a token, written out."""
    tokens = ids.shape[1]
    bias = torch.full((tokens, tokens), torch.finfo(torch.float32).min)
    for row in range(tokens):
        if not real[0, row]:
            bias[row] = 0
        for column in range(row + 1):
            if real[0, row] and real[0, column]:
                bias[row, column] = 0
    start = int((~real).sum())
    places = torch.tensor([[1] * start + list(range(tokens - start))])
    with torch.no_grad():
        out = model(
            input_ids=ids,
            attention_mask={"full_attention": bias[None, None]},
            position_ids=places,
            output_hidden_states=True,
            use_cache=False,
        )
    return torch.stack(out.hidden_states, dim=1)


def test_all_states_are_those_of_transformers(host, clip, reference):
    ids, real = host.words.padded([151644, 872, 198, 25, 7, 13, 151645], PAD, length=24)
    transformer = clip.cond_stage_model.qwen25_7b.transformer
    with torch.no_grad():
        got = host.text.states(transformer, ids, real, torch.device("cpu"))
    expected = published_states(reference, ids, real)
    assert got.shape == (1, LAYERS + 1, 24, WIDE)
    for index in range(LAYERS + 1):
        assert_rounded(got[:, index], expected[:, index], about=f"state {index}")
    shut = transformer.model(None, embeds=got[:, 0], intermediate_output="all", final_layer_norm_intermediate=False)[1]
    assert error(shut, expected) > 1e-2  # the host's own forward, which does not know the padding


@pytest.fixture(scope="module")
def file(host, tmp_path_factory):
    draw = torch.Generator().manual_seed(1)
    with torch.device("meta"):
        shapes = host.align.AlignNet(LAYERS + 1, WIDE, OUT, POOLED).state_dict()
    weights = {f"align.{key}": torch.randn(value.shape, generator=draw) * 0.2 for key, value in shapes.items()}
    path = tmp_path_factory.mktemp("text") / "x2edit.safetensors"
    save_file(case.tensors() | weights, path)
    return path


def test_conditioning_is_align_net_of_these_states(host, clip, reference, file):
    from icedit_pack.icedit_core.adapters import files
    from icedit_pack.icedit_core.adapters.readers import x2edit as reader

    with torch.no_grad():
        (entry,), text = host.text.encode(clip, file, "Make it red", "published", 3.5)
    assert text == host.words.chat("Make it red", "published")
    tokenizer = clip.tokenizer.qwen25_7b.tokenizer
    ids, real = host.words.padded(tokenizer(text)["input_ids"], PAD)
    assert tokenizer.decode(ids[0][real[0]]) == text  # nothing is added
    net = host.align.build(files.load_as(reader.read_align, file)[0])
    tokens, pooled = net(published_states(reference, ids, real))
    assert entry[0].shape == (1, 512, OUT) and entry[1]["guidance"] == 3.5
    assert_rounded(entry[0], tokens)
    assert_rounded(entry[1]["pooled_output"], pooled)


def test_another_text_encoder_is_named(host, clip, file, tmp_path):
    for wrong, name in ((None, "missing"), (SimpleNamespace(cond_stage_model=torch.nn.Linear(1, 1)), "Linear")):
        with pytest.raises(ValueError, match=rf"ICEdit X2 Prompt: the text encoder is {name}, but Qwen2.5-VL 7B"):
            host.text.encode(wrong, file, "x", "bare", 3.5)
    with torch.device("meta"):
        shapes = host.align.AlignNet(29, 64, 8, 8).state_dict()
    other = case.tensors() | {f"align.{key}": torch.ones(value.shape) for key, value in shapes.items()}
    save_file(other, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=rf"reads 29 states of 64 numbers, but this text encoder has 4 of {WIDE}"):
        host.text.encode(clip, tmp_path / "other.safetensors", "x", "bare", 3.5)
