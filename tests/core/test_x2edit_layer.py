"""X2Edit's layer, tasks, sizes and AlignNet against their equations, and against the published code's recording."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from icedit_core.adapters.moe import MoELoRA
from icedit_core.adapters.readers import x2edit
from icedit_core.x2edit import align, sizes, tasks

from ..rounding import assert_equation, assert_rounded
from . import x2edit_case as case

LAYERS = {
    "transformer_blocks.0.q_moe_lora": "transformer_blocks.0.attn.to_q",
    "transformer_blocks.0.proj_moe_lora": "transformer_blocks.0.attn.to_out.0",
    "single_transformer_blocks.0.v_moe_lora": "single_transformer_blocks.0.attn.to_v",
}
TASK = 5


@pytest.fixture(scope="module")
def made():
    return x2edit.read(case.one_file())


def by_equation(x, routed, task, top_k=2):
    """Token by token and expert by expert, as the published layer computes it: no gate is renormalised."""
    task, router = task.to(x.dtype), routed.router.to(x.dtype)
    out = []
    for token in x.flatten(0, -2):
        gates = torch.softmax(router @ torch.cat([token, task]), dim=-1)
        update = routed.shared.up.to(x.dtype) @ (routed.shared.down.to(x.dtype) @ token)
        for index in gates.argsort(descending=True)[:top_k].tolist():
            expert = routed.experts[index]
            update = update + gates[index] * (expert.up.to(x.dtype) @ (expert.down.to(x.dtype) @ token))
        out.append(update)
    return torch.stack(out).reshape(*x.shape[:-1], -1)


@pytest.mark.parametrize(("recorded", "name"), LAYERS.items())
def test_the_layer_equals_the_equation_and_the_recording(made, recorded, name):
    io, routed = load_file(case.GOLDEN / "io.safetensors"), made.routed[name]
    x, out = io[f"{recorded}.in"][:, :60], io[f"{recorded}.out"][:, :60]
    expected = by_equation(x.double(), routed, made.contexts["task"][TASK])
    assert_equation(MoELoRA(routed, 2, torch.float64, context=made.contexts["task"][TASK])(x.double()), expected)
    assert_rounded(expected, out, about="the equation against the recording")
    assert_rounded(MoELoRA(routed, 2, torch.float32, context=made.contexts["task"][TASK])(x), out)
    other = MoELoRA(routed, 2, torch.float64, context=made.contexts["task"][TASK + 1])(x.double())
    assert (other - expected).norm() / expected.norm() > 1e-3  # the router does read the task


def test_all_recorded_tokens_of_a_layer():
    io, made = load_file(case.GOLDEN / "io.safetensors"), x2edit.read(case.one_file())
    for recorded, name in LAYERS.items():
        layer = MoELoRA(made.routed[name], 2, torch.float32, context=io["task_embeddings"][TASK])
        assert_rounded(layer(io[f"{recorded}.in"]), io[f"{recorded}.out"], about=name)


def align_by_equation(weights, hidden):
    """The published equations written out: a correlation over tokens and numbers, LayerNorm, two products, GELU."""
    tokens, wide = hidden.shape[2:]
    padded = torch.nn.functional.pad(hidden, (2, 2, 2, 2))
    mixed = weights["conv.bias"].view(1, 1, 1).expand(len(hidden), tokens, wide).clone()
    for row in range(5):
        for column in range(5):
            seen = padded[:, :, row : row + tokens, column : column + wide]
            mixed += torch.einsum("bsth,s->bth", seen, weights["conv.weight"][0, :, row, column])
    centred = mixed - mixed.mean(-1, keepdim=True)
    normed = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    normed = normed * weights["mlp.layernorm.weight"] + weights["mlp.layernorm.bias"]
    tokens = gelu(normed @ weights["mlp.projector.0.weight"].T) @ weights["mlp.projector.2.weight"].T
    pooled = gelu(tokens) @ weights["mlp.fc.1.weight"].T + weights["mlp.fc.1.bias"]
    return tokens, pooled.mean(1)


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def test_align_net_equals_its_equations():
    weights = {key: value.double() for key, value in case.align_weights().items()}
    hidden = torch.randn(2, case.STATES, 9, case.WIDE, dtype=torch.float64)
    tokens, pooled = align.build(weights)(hidden)
    expected = align_by_equation(weights, hidden)
    assert tokens.shape == (2, 9, case.OUT) and pooled.shape == (2, case.POOLED)
    assert_equation(tokens, expected[0], "tokens")
    assert_equation(pooled, expected[1], "pooled")
    assert align.build(case.align_weights(), torch.float64).mlp.fc[1].weight.dtype == torch.float64


def test_published_sizes_of_align_net():
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in align.AlignNet().state_dict().items()}
    assert tuple(shapes) == align.KEYS
    assert shapes["conv.weight"] == (1, 29, 5, 5) and shapes["mlp.projector.0.weight"] == (4096, 3584)
    assert shapes["mlp.projector.2.weight"] == (4096, 4096) and shapes["mlp.fc.1.weight"] == (768, 4096)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(1024, 1024, (1024, 1024)), (500, 1000, (720, 1456)), (3000, 2000, (1248, 832)), (1, 9, (720, 1456)),
     (9, 1, (1456, 720)), (944, 1104, (944, 1104))],
)  # fmt: skip
def test_nearest_bucket(height, width, expected):
    assert sizes.bucket(height, width) == expected


def test_a_picture_is_stretched_like_pillow_does_it():
    pixels = np.random.default_rng(0).integers(0, 255, (300, 610, 3), dtype=np.uint8)
    made = sizes.stretched(torch.from_numpy(pixels)[None] / 255)
    assert made.shape == (1, 720, 1456, 3)
    expected = np.asarray(Image.fromarray(pixels).resize((1456, 720), Image.Resampling.BILINEAR)) / 255
    assert np.abs(made[0].numpy() - expected).max() < 1.01 / 255  # Pillow rounds to whole steps, twice
    large = sizes.stretched(torch.rand(2, 2000, 2100, 1))
    assert large.shape == (2, 1024, 1024, 1)
    same = torch.rand(1, 1024, 1024, 3)
    assert sizes.stretched(same) is same


def test_buckets_are_multiples_of_16_and_of_the_large_kind():
    assert all(side % 16 == 0 for size in sizes.BUCKETS for side in size)
    assert {sizes.row_offset(*size) for size in sizes.BUCKETS} == {128}
    assert sizes.row_offset(512, 512) == 64 and sizes.row_offset(700, 999) == 64 and sizes.row_offset(700, 1000) == 128


@pytest.mark.parametrize(
    ("text", "row"),
    [("remove", 1), (" Remove\n", 1), ("\u5220\u9664\u4e3b\u4f53", 1), ("implicit_change", 13), ("low_leval", 14),
     ("low level", 14), ("subject", 15), ("other", 0), ("", 0), ("make it snow", 0)],
)  # fmt: skip
def test_task_by_name(text, row):
    assert tasks.number(text) == row


def test_one_task_for_each_row():
    assert len(tasks.NAMES) == 16 and [tasks.number(name) for name in tasks.NAMES] == list(range(16))
    assert [tasks.number(name) for name in list(tasks.NAMES.values())[1:]] == list(range(1, 16))


@pytest.mark.slow
def test_align_net_at_full_size():
    """29 states of 512 tokens and 3584 numbers, in float32 against the equations in float64."""
    draw = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in align.AlignNet().state_dict().items()}
    weights = {key: torch.randn(shape, generator=draw) / max(shape[-1], 1) ** 0.5 for key, shape in shapes.items()}
    hidden = torch.randn(1, 29, 512, 3584, generator=draw)
    tokens, pooled = align.build(weights)(hidden)
    assert tokens.shape == (1, 512, 4096) and pooled.shape == (1, 768)
    expected = align_by_equation({key: value.double() for key, value in weights.items()}, hidden.double())
    assert_rounded(tokens, expected[0], about="tokens")
    assert_rounded(pooled, expected[1], about="pooled")
