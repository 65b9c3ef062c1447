"""Names and numbers of any adapter: the same through every naming, in any order, and never a tensor left unused."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from icedit_core.adapters import files
from icedit_core.adapters.moe import MoELoRA
from icedit_core.adapters.names import shown
from icedit_core.adapters.readers import read
from icedit_core.adapters.weights import Adapter

from ..rounding import near_ties

steady = settings(derandomize=True, deadline=None, database=None)
DIFFUSERS = [f"{block}.{part}" for block, parts in {
    "transformer_blocks.0": ("norm1.linear", "attn.to_q", "attn.to_out.0", "ff.net.2", "ff_context.net.0.proj"),
    "transformer_blocks.18": ("attn.add_k_proj", "ff.net.0.proj", "ff.net.2"),
    "single_transformer_blocks.37": ("norm.linear", "proj_mlp", "proj_out", "attn.to_v"),
}.items() for part in parts] + ["x_embedder", "proj_out", "time_text_embed.timestep_embedder.linear_1"]  # fmt: skip
HOST = ["double_blocks.0.img_mlp.2", "double_blocks.18.txt_attn.qkv", "single_blocks.37.linear1", "img_in"]
PREFIXES = ("", "transformer.", "base_model.model.", "transformer.base_model.model.", "diffusion_model.", "lora_unet_")
SIDES = (("lora_A", "lora_B"), ("lora_down", "lora_up"))
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2)

Parts = dict[str, dict[str, Tensor]]


@st.composite
def adapters(draw) -> Parts:
    """Layer -> the tensors of its parts: `down`, `up`, `alpha`, `router`, `down 0`, ..."""
    layers = draw(st.lists(st.sampled_from(DIFFUSERS + HOST), min_size=1, max_size=6, unique=True))
    noise = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    dtype, made = draw(st.sampled_from(DTYPES)), {}

    def matrix(*shape: int) -> Tensor:
        return torch.randn(shape, generator=noise).to(dtype)

    for layer in layers:
        wide, out, rank = (draw(st.integers(1, 6)) for _ in range(3))
        parts = {}
        kind = draw(st.sampled_from(("plain", "routed", "both")))
        if kind != "routed":
            parts |= {"down": matrix(rank, wide), "up": matrix(out, rank)}
        if kind != "plain":
            experts = draw(st.integers(1, 12))
            parts["router"] = matrix(experts, wide)
            for index in range(experts):
                parts |= {f"down {index}": matrix(rank, wide), f"up {index}": matrix(out, rank)}
        if draw(st.booleans()):
            parts["alpha"] = draw(st.sampled_from((torch.tensor(3.0), torch.tensor([4.0]), torch.tensor(8))))
        made[layer] = parts
    return made


def named(made: Parts, prefix: str = "", sides=SIDES[0], adapter: str = "") -> dict[str, Tensor]:
    """The tensors of a file, in one of the namings seen in files that people have.

    Args:
        adapter: what peft calls it in every key: `.icedit`, or with `.icedit$` behind the expert's number.
    """
    adapter, behind = adapter.removesuffix("$"), adapter.endswith("$")
    tensors = {}
    for layer, parts in made.items():
        layer = prefix + (layer.replace(".", "_") if prefix.endswith("_") else layer)
        for part, tensor in parts.items():
            side, _, expert = part.partition(" ")
            if part == "alpha":
                tensors[f"{layer}.alpha"] = tensor
            elif part == "router":
                tensors[f"{layer}.lora_route{adapter}.weight"] = tensor
            else:
                number = f".expert_{expert}" if expert else ""
                middle = number + adapter if behind else adapter + number
                tensors[f"{layer}.{sides[side == 'up']}{middle}.weight"] = tensor
    return tensors


def same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one.double(), other.double())


def check_equal(adapter: Adapter, made: Parts, prefix: str = "") -> None:
    found = {}
    for layer in made:
        found[layer] = prefix + (layer.replace(".", "_") if prefix.endswith("_") else layer)
    assert set(adapter.plain) == {found[layer] for layer, parts in made.items() if "down" in parts}
    assert set(adapter.routed) == {found[layer] for layer, parts in made.items() if "router" in parts}
    for layer, parts in made.items():
        updates = {}
        if "down" in parts:
            updates[""] = adapter.plain[found[layer]]
        if "router" in parts:
            routed = adapter.routed[found[layer]]
            assert same(routed.router, parts["router"])
            assert len(routed.experts) == len(parts["router"])
            updates |= {f" {index}": expert for index, expert in enumerate(routed.experts)}
        for which, update in updates.items():
            assert same(update.down, parts[f"down{which}"]) and same(update.up, parts[f"up{which}"])
            alpha = float(parts["alpha"]) if "alpha" in parts else update.rank
            assert update.scale == alpha / update.rank


adapter_names = st.sampled_from(("", ".default", ".default_0", ".icedit", ".icedit$", ".\u4f60 1"))
namings = st.tuples(st.sampled_from(PREFIXES), st.sampled_from(SIDES), adapter_names)


@settings(steady, max_examples=80)
@given(adapters(), namings, st.randoms(use_true_random=False))
def test_any_subset_in_any_naming_and_order_reads_as_the_same_numbers(made, naming, order):
    keys = list(tensors := named(made, *naming))
    order.shuffle(keys)
    check_equal(read({key: tensors[key] for key in keys}), made, naming[0])


@settings(steady, max_examples=30)
@given(adapters(), namings, st.integers(1, 9))
def test_the_same_through_a_file_whatever_its_name(made, naming, top_k):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "\u00fc\u4f60 'a' %20.safetensors"
        save_file(named(made, *naming), path, {"top_k": str(top_k)})
        adapter, found = files.load(path)
    assert found == top_k
    check_equal(adapter, made, naming[0])


@settings(steady, max_examples=40)
@given(adapters(), st.integers(1, 12))
def test_what_is_read_runs_and_gives_the_sum_of_the_chosen_experts(made, top_k):
    adapter = read(named(made))
    for routed in adapter.routed.values():
        layer = MoELoRA(routed, min(top_k, len(routed.experts)), torch.float32)
        x = torch.randn(3, layer.in_features, generator=torch.Generator().manual_seed(1))
        gates = layer.gating(layer.logits(x), layer.top_k)
        each = [x @ e.down.float().T @ e.up.float().T * e.scale for e in routed.experts]
        expected = sum(gates[:, i, None] * one for i, one in enumerate(each))
        if routed.experts[0].up.dtype.itemsize > 1 or routed.experts[0].scale == 1:
            largest = max(float(one.abs().max()) for one in each)
            clear = ~near_ties(layer.logits(x), layer.top_k, torch.float32)  # two orders of the sums may pick apart
            torch.testing.assert_close(layer(x)[clear], expected[clear], rtol=0.01, atol=0.01 * largest)


strangers = st.one_of(
    st.text(st.sampled_from("aA0._-/ \n\0\u202e\u4f60\ud800\U0001f600"), min_size=1, max_size=200),
    st.sampled_from(("lora_unet_x.lora_A.weight.bias", "x.lora_A.expert_.weight", "x.lora_A.expert_-1.weight",
                     "x.lora_A.expert_99999.weight", "x.lora_A.b.c.weight", "x.lora_magnitude_vector.weight",
                     "x.dora_scale", "x.lora_A", "x.diff_b", "x.lokr_w1", "x.lora_A.bias", "nobody.alpha", ".alpha",
                     ".lora_A.weight", "x.lora_mid.weight", "X.LORA_A.WEIGHT", "x.lora_a.weight")),
)  # fmt: skip


@settings(steady, max_examples=100)
@given(adapters(), strangers, st.booleans())
def test_a_key_of_no_known_layout_is_always_an_error_that_lists_it(made, stranger, first):
    assume(not stranger.endswith((".lora_A.weight", ".lora_B.weight")) or stranger.startswith(".lora"))
    tensors = named(made)
    extra = {stranger: torch.ones(1, 1)}
    with pytest.raises(ValueError) as caught:
        read(extra | tensors if first else tensors | extra)
    assert f"1 of {len(tensors) + 1} tensors are of no layout known here: {shown(stranger)}. " in str(caught.value)
    assert str(caught.value).isprintable()


@settings(steady, max_examples=80)
@given(adapters(), st.data())
def test_a_matrix_that_is_missing_is_always_noticed_and_its_layer_named(made, data):
    tensors = named(made)
    lost = data.draw(st.sampled_from([key for key in tensors if not key.endswith(".alpha")]))
    assume(not (lost.endswith("lora_route.weight") and ".expert_0." not in "".join(tensors)))
    layer = lost.split(".lora_")[0]
    left = {key: tensor for key, tensor in tensors.items() if key != lost}
    with pytest.raises(ValueError, match="alone|no router|holds no tensors") as caught:
        read(left)
    assert layer in str(caught.value) or not left


@settings(steady, max_examples=60)
@given(adapters(), st.data())
def test_a_matrix_of_another_shape_kind_or_value_is_always_noticed(made, data):
    tensors = named(made)
    hurt = data.draw(st.sampled_from([key for key in tensors if not key.endswith(".alpha")]))
    good = tensors[hurt]
    bad = {
        "vector": good.flatten(),
        "cube": good[None],
        "empty": good[:0],
        "integers": good.view(torch.int8),
        "bool": torch.ones(good.shape, dtype=torch.bool),
        "complex": torch.ones(good.shape, dtype=torch.complex64),
        "nan": torch.full(good.shape, torch.nan, dtype=good.dtype),
        "rank or experts": torch.ones(len(good) + 13, good.shape[1] + 13, dtype=good.dtype),
    }
    tensors[hurt] = bad[data.draw(st.sampled_from(sorted(bad)))]
    with pytest.raises(ValueError, match=r"^ICEdit adapter: .*but.*\. ?|incomplete") as caught:
        read(tensors)
    assert hurt.split(".lora_")[0] in str(caught.value)
