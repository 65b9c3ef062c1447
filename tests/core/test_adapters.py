"""The MoE layer against its equation, and the reader of the published layout."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from icedit_core.adapters import files, widen
from icedit_core.adapters.attach import Attachment, Slot
from icedit_core.adapters.moe import MoELoRA, softmax_then_top_k_gates, top_k_gates
from icedit_core.adapters.readers import read
from icedit_core.adapters.weights import LowRank, Routed

from ..rounding import assert_equation, assert_rounded, near_ties

GOLDEN = Path(__file__).parents[1] / "fixtures" / "icedit_moe"
LAYER = "transformer.transformer_blocks.0.ff.net.2"


def random_routed(experts=4, rank=3, wide=10, out=7, alpha=None, seed=0):
    draw = torch.Generator().manual_seed(seed)
    pairs = tuple(
        LowRank(torch.randn(rank, wide, generator=draw), torch.randn(out, rank, generator=draw), alpha)
        for _ in range(experts)
    )
    return Routed(torch.randn(experts, wide, generator=draw), pairs)


def by_equation(x, routed, top_k):
    """y - base(x), token by token and expert by expert, as the paper writes it."""
    flat = x.reshape(-1, x.shape[-1])
    out = torch.zeros(len(flat), routed.experts[0].up.shape[0], dtype=x.dtype)
    for t, token in enumerate(flat):
        logits = routed.router.to(x.dtype) @ token
        chosen = logits.argsort(descending=True)[:top_k]
        weights = torch.exp(logits[chosen] - logits[chosen].max())
        weights = weights / weights.sum()
        for gate, index in zip(weights, chosen, strict=True):
            expert = routed.experts[int(index)]
            out[t] += gate * expert.scale * (expert.up.to(x.dtype) @ (expert.down.to(x.dtype) @ token))
    return out.reshape(*x.shape[:-1], -1)


@pytest.mark.parametrize(("experts", "top_k"), [(1, 1), (4, 1), (4, 2), (4, 4), (8, 3)])
@pytest.mark.parametrize("alpha", [None, 6.0])
def test_layer_equals_the_equation(experts, top_k, alpha):
    routed = random_routed(experts, alpha=alpha)
    x = torch.randn(2, 5, 10, dtype=torch.float64)
    layer = MoELoRA(routed, top_k, torch.float64)
    expected = by_equation(x, routed, top_k)
    assert_equation(layer(x), expected)
    base = torch.randn(2, 5, 7, dtype=torch.float64)
    assert_equation(layer.add_to(base.clone(), x, 0.5), base + 0.5 * expected)
    in_float32 = MoELoRA(routed, top_k)
    clear = ~near_ties(layer.logits(x), top_k, torch.float32)
    assert_rounded(in_float32(x.float())[clear], expected[clear])


@pytest.mark.parametrize("stored", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_alpha_of_a_file_in_fp8_is_folded_in_the_layers_own_dtype(stored):
    routed = random_routed(alpha=1.0)  # a third: no power of two
    pairs = tuple(LowRank(pair.down.to(stored), pair.up.to(stored), pair.alpha) for pair in routed.experts)
    layer = MoELoRA(Routed(routed.router, pairs), 1, torch.float32)  # the router may be wider than the experts
    torch.testing.assert_close(layer.up, torch.cat([pair.up.float() / 3 for pair in pairs], dim=1))
    assert torch.equal(layer.router, routed.router)


def test_one_expert_equals_plain_lora():
    routed = random_routed(experts=1)
    x = torch.randn(6, 10)
    expert = routed.experts[0]
    assert_rounded(MoELoRA(routed)(x), x @ expert.down.T @ expert.up.T)


def test_top_1_gate_is_exactly_one_and_gates_sum_to_one():
    logits = torch.randn(50, 4)
    assert set(top_k_gates(logits, 1).flatten().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(top_k_gates(logits, 3).sum(-1), torch.ones(50))
    assert ((top_k_gates(logits, 3) > 0).sum(-1) == 3).all()


@pytest.mark.parametrize("top_k", [0, 5])
def test_top_k_out_of_range_names_the_range(top_k):
    with pytest.raises(ValueError, match=f"top_k is {top_k}.*4 experts.*Use 1 to 4"):
        MoELoRA(random_routed(), top_k)


@pytest.mark.parametrize("name", ["transformer_blocks.0.ff.net.2", "single_transformer_blocks.0.proj_out"])
def test_recorded_layers_of_the_published_implementation(name):
    io = load_file(GOLDEN / "io.safetensors")
    adapter, top_k = files.load(GOLDEN / "pytorch_lora_weights.safetensors")
    layer = MoELoRA(adapter.routed["transformer." + name], top_k, torch.float32)
    assert_rounded(layer.logits(io[name + ".in"]), io[name + ".logits"])
    out = layer.add_to(io[name + ".base"].clone(), io[name + ".in"])
    assert_rounded(out, io[name + ".out"])


def x2edit_layer(tensors, name):
    """A recorded layer of another method: other gates, a shared expert, a router that also reads the task."""
    part = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(name)}

    def pair(which):
        return LowRank(part[f"{which}.down.weight"], part[f"{which}.up.weight"])

    routed = Routed(part["gate.weight"], tuple(pair(f"experts.{i}") for i in range(12)), pair("shared_experts"))
    return MoELoRA(routed, 2, torch.float32, softmax_then_top_k_gates, tensors["task_embedding"])


@pytest.mark.parametrize(
    "name",
    [
        "transformer_blocks.0.q_moe_lora",
        "transformer_blocks.0.proj_moe_lora",
        "single_transformer_blocks.0.v_moe_lora",
    ],
)
def test_recorded_layers_of_x2edit_are_other_choices_of_the_same_layer(name):
    tensors = load_file(GOLDEN.parent / "x2edit_layers.safetensors")
    layer, x, expected = x2edit_layer(tensors, name), tensors[f"{name}.in"], tensors[f"{name}.out"]
    assert_rounded(layer(x), expected)


def test_a_slot_can_read_the_output_it_adds_to():
    model = nn.Sequential(nn.Linear(6, 20))
    layer = MoELoRA(random_routed(out=10))
    x = torch.randn(2, 4, 6)
    plain = model(x)
    with torch.no_grad(), Attachment({"0": [Slot(layer, start=10, reads_output=True)]}).on(model):
        out = model(x)
    assert torch.equal(out[..., :10], plain[..., :10])
    assert_rounded(out[..., 10:], plain[..., 10:] + layer(plain[..., 10:]))


def test_gates_kept_after_the_softmax_are_not_renormalised():
    logits = torch.randn(50, 6)
    gates, probabilities = softmax_then_top_k_gates(logits, 2), logits.softmax(-1)
    for row, wanted in zip(gates, probabilities, strict=True):
        best = wanted.argsort(descending=True)[:2]
        assert sorted(row.nonzero().flatten().tolist()) == sorted(best.tolist())
        torch.testing.assert_close(row[best], wanted[best])


def test_a_shared_expert_is_a_plain_lora_for_every_token():
    routed, shared = random_routed(), LowRank(torch.randn(5, 10), torch.randn(7, 5), alpha=10.0)
    x = torch.randn(6, 10, dtype=torch.float64)
    layer = MoELoRA(Routed(routed.router, routed.experts, shared), 2, torch.float64)
    plain_part = 2 * x @ shared.down.T.double() @ shared.up.T.double()
    assert_equation(layer(x), MoELoRA(routed, 2, torch.float64)(x) + plain_part)
    again = MoELoRA(layer.routed(), top_k=2)
    assert torch.equal(again(x), layer(x))


def test_a_router_that_reads_more_than_the_token_asks_for_it():
    routed = random_routed()
    wider = Routed(torch.cat([routed.router, torch.ones(4, 3)], dim=1), routed.experts)
    with pytest.raises(ValueError, match="reads 3 values after the token, but 0 are given"):
        MoELoRA(wider)
    with pytest.raises(ValueError, match="reads 0 values after the token, but 3 are given"):
        MoELoRA(routed, context=torch.ones(3))


def test_attachment_is_off_afterwards_even_after_an_exception():
    model = nn.Sequential(nn.Linear(10, 7), nn.Linear(7, 7))
    x = torch.randn(4, 10)
    plain = model(x)
    attachment = Attachment({"0": [Slot(MoELoRA(random_routed()))]})
    with attachment.on(model):
        changed = model(x)
    assert not torch.equal(changed, plain)
    with pytest.raises(RuntimeError, match="boom"), attachment.on(model):
        raise RuntimeError("boom")
    assert torch.equal(model(x), plain)
    assert "forward" not in vars(model[0])


def test_attachments_nest_and_reuse_their_callables():
    model = nn.Sequential(nn.Linear(10, 7))
    first, second = (MoELoRA(random_routed(seed=seed)) for seed in (1, 2))
    outer, inner = Attachment({"0": [Slot(first)]}), Attachment({"0": [Slot(second)]}, strength=0.5)
    x = torch.randn(4, 10)
    seen = set()
    for _ in range(2):
        with torch.no_grad(), outer.on(model), inner.on(model):
            seen.add(vars(model[0])["forward"])
            assert_rounded(model(x), model[0].__class__.forward(model[0], x) + first(x) + 0.5 * second(x))
    assert len(seen) == 1


def test_a_slot_of_some_rows_leaves_the_others_alone():
    model = nn.Sequential(nn.Linear(10, 21))
    layer = MoELoRA(random_routed())
    x = torch.randn(4, 10)
    plain = model(x)
    with torch.no_grad(), Attachment({"0": [Slot(layer, start=7)]}).on(model):
        out = model(x)
    assert torch.equal(out[:, :7], plain[:, :7])
    assert torch.equal(out[:, 14:], plain[:, 14:])
    assert_rounded(out[:, 7:14], plain[:, 7:14] + layer(x))


def moe_tensors(experts=4):
    routed = random_routed(experts)
    tensors = {f"{LAYER}.lora_route.weight": routed.router}
    for index, expert in enumerate(routed.experts):
        tensors[f"{LAYER}.lora_A.expert_{index}.weight"] = expert.down
        tensors[f"{LAYER}.lora_B.expert_{index}.weight"] = expert.up
    return tensors


def test_reader_takes_both_names_of_the_matrices_and_alpha():
    tensors = {
        "a.b.lora_A.weight": torch.ones(2, 3),
        "a.b.lora_B.weight": torch.ones(4, 2),
        "lora_unet_c.lora_down.weight": torch.ones(2, 3),
        "lora_unet_c.lora_up.weight": torch.ones(4, 2),
        "lora_unet_c.alpha": torch.tensor(1.0),
    }
    adapter = read({**tensors, **moe_tensors()})
    assert {name: update.scale for name, update in adapter.plain.items()} == {"a.b": 1.0, "lora_unet_c": 0.5}
    assert list(adapter.routed) == [LAYER]
    assert adapter.summary() == "2 plain layers, rank 2; 1 routed layers of 4 experts, rank 3; 0.00 M parameters"


def without(tensors, *keys):
    return {key: value for key, value in tensors.items() if key not in keys}


BAD = {
    "empty": ({}, "holds no tensors"),
    "unknown key": (moe_tensors() | {"a.diff": torch.ones(2)}, "1 of 10 tensors are of no layout known here: a.diff"),
    "lonely alpha": (moe_tensors() | {"a.alpha": torch.ones(1)}, "a.alpha"),
    "half a pair": (without(moe_tensors(), f"{LAYER}.lora_B.expert_1.weight"), "expert 1 has lora_A alone"),
    "expert missing": (
        without(moe_tensors(), f"{LAYER}.lora_A.expert_3.weight", f"{LAYER}.lora_B.expert_3.weight"),
        r"experts 0, 1, 2, but its router picks among 4",
    ),
    "router missing": (without(moe_tensors(), f"{LAYER}.lora_route.weight"), "experts but no router"),
    "router alone": ({f"{LAYER}.lora_route.weight": torch.ones(4, 10)}, "router .lora_route. but no experts"),
    "ranks differ": ({"a.lora_A.weight": torch.ones(2, 3), "a.lora_B.weight": torch.ones(4, 3)}, "share the rank"),
    "router's width": (moe_tensors() | {f"{LAYER}.lora_route.weight": torch.ones(4, 9)}, "router's input width"),
    "nan": (moe_tensors() | {f"{LAYER}.lora_route.weight": torch.full((4, 10), torch.nan)}, "NaN"),
    "a vector": ({"a.lora_A.weight": torch.ones(3), "a.lora_B.weight": torch.ones(4, 2)}, r"shape \(3,\)"),
    "integers": ({"a.lora_A.weight": torch.ones(2, 3, dtype=torch.int8)}, "int8"),
    "twice": (
        {"a.lora_A.weight": torch.ones(2, 3), "a.lora_down.weight": torch.ones(2, 3)},
        "comes twice under two names",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_reader_refuses_with_the_cause(case):
    tensors, cause = BAD[case]
    with pytest.raises(ValueError, match=cause):
        read(tensors)


def test_file_errors_name_the_file(tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"\x80\x04 not a safetensors file")
    with pytest.raises(ValueError, match="bad.safetensors cannot be read"):
        files.load(bad)
    save_file({"a.diff": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=re.escape("(file other.safetensors)")):
        files.load(tmp_path / "other.safetensors")


def test_top_k_comes_from_the_metadata_or_is_one(tmp_path):
    for metadata, top_k in ((None, 1), ({"top_k": "2"}, 2)):
        save_file(moe_tensors(), tmp_path / "a.safetensors", metadata)
        assert files.load(tmp_path / "a.safetensors")[1] == top_k
    save_file(moe_tensors(), tmp_path / "a.safetensors", {"top_k": "many"})
    with pytest.raises(ValueError, match="top_k = 'many'"):
        files.load(tmp_path / "a.safetensors")


def pair(layer, side_a="lora_A", side_b="lora_B", rank=2, shape=()):
    return {f"{layer}.{side_a}.weight": torch.ones(rank, 3, *shape), f"{layer}.{side_b}.weight": torch.ones(4, rank)}


KOHYA = ("lora_down", "lora_up")
TEXT = pair("lora_te1_text_model_encoder_layers_0_mlp_fc1", *KOHYA) | {
    "lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha": torch.ones(())
}
NOT_FOR_US = {
    "SDXL": (pair("lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q", *KOHYA), "a LoRA for SDXL"),
    "SDXL with its text encoders and convolutions": (
        TEXT | pair("lora_unet_output_blocks_0_0_in_layers_2", *KOHYA, shape=(3, 3)),
        "a LoRA for SDXL",
    ),
    "SDXL in diffusers' naming": (
        pair("unet.down_blocks.2.attentions.1.transformer_blocks.9.attn1.to_q"),
        "a LoRA for SDXL",
    ),
    "SDXL of another kind": (
        {"lora_unet_input_blocks_4_1_proj_in.hada_w1_a": torch.ones(2, 2)},
        "a LoRA for SDXL",
    ),
    "SD 1.5": (
        pair("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q", *KOHYA),
        "a LoRA for Stable Diffusion 1.5",
    ),
    "a UNet, either": (pair("unet.mid_block.attentions.0.proj_in"), r"Stable Diffusion \(SDXL or 1.5\)"),
    "SD 3": (pair("diffusion_model.joint_blocks.0.x_block.attn.qkv"), "a LoRA for Stable Diffusion 3"),
    "Wan": (pair("diffusion_model.blocks.0.self_attn.q"), "a LoRA for Wan"),
    "Qwen-Image": (pair("transformer_blocks.0.img_mlp.net.2"), "a LoRA for Qwen-Image"),
    "Z-Image": (pair("diffusion_model.layers.0.attention.to_q"), "a LoRA for Z-Image"),
    "FLUX.2": (pair("transformer.single_stream_modulation.linear"), "a LoRA for FLUX.2"),
}


@pytest.mark.parametrize("kind", NOT_FOR_US)
def test_a_lora_for_another_model_is_told_what_it_is(kind):
    tensors, family = NOT_FOR_US[kind]
    with pytest.raises(ValueError, match=family + r".*one for FLUX.1 is needed.*Load LoRA \(Model and CLIP\)"):
        read(tensors)


@pytest.mark.parametrize(
    "layer",
    [
        "lora_te1_text_model_encoder_layers_0_mlp_fc1",
        "lora_te_text_model_encoder_layers_0_mlp_fc1",
        "lora_te3_encoder_block_0_layer_0_SelfAttention_q",
        "text_encoder.text_model.encoder.layers.0.self_attn.q_proj",
        "text_encoder_2.encoder.block.0.layer.0.SelfAttention.q",
        "text_encoders.clip_l.transformer.text_model.encoder.layers.0.mlp.fc1",
    ],
)
def test_layers_of_text_encoders_are_named_as_such(layer):
    model = pair("lora_unet_double_blocks_0_img_attn_qkv", *KOHYA)
    with pytest.raises(ValueError, match=f"2 of 4 tensors are for the text encoders .{layer}.*loads both parts"):
        read(model | pair(layer))
    with pytest.raises(ValueError, match="2 of 2 tensors.*Nothing is left for the model"):
        read(pair(layer))
    with pytest.raises(ValueError, match="cannot use the file's experts: remove the text encoders'"):
        read(moe_tensors() | pair(layer))


def test_two_adapters_in_one_file_are_named():
    two = {key.replace(".weight", f".{name}.weight"): value for name in ("a", "b") for key, value in pair("x").items()}
    with pytest.raises(ValueError, match="the 2 adapters a, b, but one is needed. Save each"):
        read(two)
    assert list(read({key: value for key, value in two.items() if ".a." in key}).plain) == ["x"]


@pytest.mark.parametrize("layer", ["transformer.x_embedder", "lora_unet_img_in", "diffusion_model.img_in", "img_in"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float8_e4m3fn])
def test_the_input_layer_of_flux_dev_is_padded_with_zeros(layer, dtype):
    down, up = torch.ones(2, 64).to(dtype), torch.ones(7, 2).to(dtype)
    tensors = {f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up, f"{layer}.alpha": torch.tensor(6.0)}
    adapter, padded = widen.for_fill(read(tensors | pair("transformer.proj_out") | moe_tensors()))
    assert padded == [layer]
    wide = adapter.plain[layer]
    assert wide.down.shape == (2, 384) and wide.down.dtype == dtype and wide.scale == 3
    assert torch.equal(wide.down.float(), torch.cat([torch.ones(2, 64), torch.zeros(2, 320)], 1))
    assert torch.equal(adapter.plain["transformer.proj_out"].down, torch.ones(2, 3)) and adapter.routed


def test_only_the_input_layer_of_64_is_padded():
    other = {"context_embedder": 64, "x_embedder": 384, "transformer.x_embedder": 128, "a.x_embedder.b": 64}
    tensors = {}
    for layer, wide in other.items():
        tensors |= {f"{layer}.lora_A.weight": torch.ones(2, wide), f"{layer}.lora_B.weight": torch.ones(7, 2)}
    adapter, padded = widen.for_fill(read(tensors))
    assert padded == [] and {name: update.down.shape[1] for name, update in adapter.plain.items()} == other
