"""The adapter in training: the recorded one comes out, nothing stays behind, checkpointing and compiling are exact."""

from pathlib import Path

import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file

from icedit_core.adapters import files
from icedit_core.adapters.readers import read
from icedit_core.training.lora import AdapterSpec, Trainable, save_adapter
from icedit_core.training.spec import ROUTED, find_layers

from ..rounding import assert_rounded, error

GOLDEN = Path(__file__).parents[1] / "fixtures" / "icedit_moe"
ADAPTER = GOLDEN / "pytorch_lora_weights.safetensors"
SIZES = {
    "patch_size": 1,
    "in_channels": 384,
    "out_channels": 64,
    "attention_head_dim": 128,
    "num_attention_heads": 1,
    "joint_attention_dim": 64,
    "pooled_projection_dim": 32,
    "guidance_embeds": True,
    "axes_dims_rope": (16, 56, 56),
}
SMALL = AdapterSpec(rank=8, alpha=8.0)
LEARNING = AdapterSpec(rank=4, alpha=8.0, top_k=1, router_gradient="straight_through", balance=0.1)


def recorded_flux():
    model = FluxTransformer2DModel(num_layers=2, num_single_layers=2, **SIZES)
    state = load_file(GOLDEN / "flux_fill_tiny_diffusers.safetensors")
    model.load_state_dict({name: value.float() for name, value in state.items()})
    return model.eval()


def recorded_inputs():
    names = {"hidden": "hidden_states", "ctx": "encoder_hidden_states", "pooled": "pooled_projections"}
    io = load_file(GOLDEN / "io.safetensors")
    inputs = {names.get(name, name): value for name, value in io.items() if "." not in name and "out_" not in name}
    return inputs, io


@torch.no_grad()
def plain_output(model):
    return model(**recorded_inputs()[0], return_dict=False)[0]


@torch.no_grad()
def output(trainable):
    return trainable(**recorded_inputs()[0])


def randomised(trainable, seed=0, size=0.05):
    """Every trained weight away from its start, so that all gradients are alive."""
    draw = torch.Generator().manual_seed(seed)
    for parameter in trainable.adapter_parameters():
        parameter.data += size * torch.randn(parameter.shape, generator=draw)
    return trainable


def test_recorded_adapter_gives_the_recorded_output_and_comes_out_as_it_was():
    model, (_, io) = recorded_flux(), recorded_inputs()
    base = error(plain_output(model), io["out_base"])
    trainable = Trainable(model, SMALL)
    tensors = load_file(ADAPTER)
    trainable.load_adapter(tensors)
    assert_rounded(output(trainable), io["out_moe"], base)
    state = trainable.adapter_state()
    assert state.keys() == tensors.keys()
    assert all(torch.equal(state[name], tensors[name].float()) for name in tensors)
    trainable(**recorded_inputs()[0]).square().mean().backward()
    for layer in trainable.experts:  # at top-1 the published gates give the router exactly nothing
        router, down = layer.inner.grad.tensor_split([layer.num_experts], dim=1)
        assert down.any() and not router.any()


@pytest.mark.parametrize("experts", [4, 0])
def test_a_new_adapter_changes_nothing_and_only_it_is_trained(experts):
    model = recorded_flux()
    before = plain_output(model)
    frozen = [parameter for parameter in model.parameters()]
    trainable = Trainable(model, AdapterSpec(rank=8, experts=experts))
    assert torch.equal(output(trainable), before)
    inputs, _ = recorded_inputs()
    trainable(**inputs).square().mean().backward()
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in frozen)
    for name, parameter in trainable.named_adapter_parameters().items():
        assert parameter.dtype == torch.float32 and parameter.grad is not None, name
        assert bool(parameter.grad.any()) == ("lora_B" in name or name.endswith(".outer")), name  # B is 0 at the start
    routed = [name for name in trainable.adapter_state() if "lora_route" in name]
    assert len(routed) == (4 if experts else 0)
    assert len(trainable.plain_layers) == (21 if experts else 25)


def test_first_values_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = Trainable(recorded_flux(), SMALL, seed=5).adapter_state()
    torch.manual_seed(2)
    expected = torch.get_rng_state()
    again = Trainable(recorded_flux(), SMALL, seed=5).adapter_state()
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = Trainable(recorded_flux(), SMALL, seed=6).adapter_state()
    assert all(torch.equal(first[name], other[name]) == ("lora_B" in name) for name in first)
    down = torch.cat([value.flatten() for name, value in first.items() if "lora_A" in name])
    assert abs(float(down.std()) * 8 - 1) < 0.02
    torch.manual_seed(2)
    assert torch.equal(torch.get_rng_state(), expected)


def test_strength_zero_an_exception_and_detach_leave_the_same_bits():
    model = recorded_flux()
    before, modules = plain_output(model), [type(module) for module in model.modules()]
    trainable = randomised(Trainable(model, SMALL))
    changed = output(trainable)
    assert error(changed, before) > 1e-3
    trainable.set_strength(0.0)
    assert torch.equal(output(trainable), before)
    trainable.set_strength(1.0)
    assert torch.equal(output(trainable), changed)
    assert all(parameter.requires_grad for parameter in trainable.adapter_parameters())
    with pytest.raises(TypeError):
        trainable(hidden_states=None)
    with pytest.raises(ValueError, match="fits no Linear layer"):
        Trainable(recorded_flux(), AdapterSpec(plain=("nowhere",)))
    trainable.checkpoint_blocks()
    trainable.compile_blocks(backend="eager")
    trainable.detach()
    assert torch.equal(plain_output(model), before)
    assert [type(module) for module in model.modules()] == modules
    assert not any("forward" in vars(module) for module in model.modules()) and not model.is_gradient_checkpointing
    assert torch.equal(output(Trainable(model, SMALL)), before)


def test_strength_scales_the_whole_update():
    trainable = randomised(Trainable(recorded_flux(), SMALL))
    trainable.set_strength(0.5)
    half = Trainable(recorded_flux(), SMALL)
    state = trainable.adapter_state()
    half.load_adapter({name: value * (0.5 if "lora_B" in name else 1) for name, value in state.items()})
    assert_rounded(output(trainable), output(half))


@pytest.mark.parametrize("alpha", [8.0, 16.0, 12.0])
def test_a_written_file_holds_the_same_function_whatever_alpha(alpha, tmp_path):
    trainable = randomised(Trainable(recorded_flux(), AdapterSpec(rank=8, alpha=alpha, top_k=2)))
    save_adapter(tmp_path / "a.safetensors", trainable.adapter_state(), {"top_k": "2", "alpha": str(alpha)})
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
    adapter, top_k = files.load(tmp_path / "a.safetensors")
    assert top_k == 2
    assert {update.scale for update in adapter.plain.values()} == {1.0}
    tensors = load_file(tmp_path / "a.safetensors")
    same_alpha = Trainable(recorded_flux(), AdapterSpec(rank=8, alpha=alpha, top_k=2), seed=1)
    alpha_is_rank = Trainable(recorded_flux(), AdapterSpec(rank=8, alpha=8.0, top_k=2), seed=2)
    for reader in (same_alpha, alpha_is_rank):
        reader.load_adapter(tensors)
        assert_rounded(output(reader), output(trainable))
        again = reader.adapter_state()
        assert again.keys() == tensors.keys()
        for name, value in tensors.items():  # a scale that is no power of two may round in the last bit
            assert torch.equal(again[name], value) or (alpha == 12 and torch.allclose(again[name], value, rtol=2e-7))


def test_a_file_of_other_layers_or_sizes_is_refused_with_the_cause():
    tensors = load_file(ADAPTER)
    with pytest.raises(ValueError, match=r"is \(8, 384\), but \(4, 384\) is trained.*Set rank"):
        Trainable(recorded_flux(), AdapterSpec(rank=4)).load_adapter(tensors)
    with pytest.raises(ValueError, match=r"ff.net.2 is in the file as experts \(0 layers missing, 2 too many\)"):
        Trainable(recorded_flux(), AdapterSpec(rank=8, routed=ROUTED[1:])).load_adapter(tensors)
    with pytest.raises(ValueError, match="is not in the file as plain LoRA"):
        Trainable(recorded_flux(), AdapterSpec(rank=8, experts=0)).load_adapter(tensors)
    with pytest.raises(ValueError, match="experts of .adapter."):
        Trainable(recorded_flux(), AdapterSpec(rank=8, experts=3)).load_adapter(tensors)


SPECS = {
    "rank": ({"rank": 0}, "rank is 0, but a whole number from 1"),
    "alpha": ({"alpha": 0.0}, "alpha is 0.0"),
    "top_k": ({"top_k": 5}, "top_k is 5, but a whole number from 1 to experts"),
    "gradient": ({"router_gradient": "some"}, "router_gradient is 'some', but 'published' or 'straight_through'"),
    "balance": ({"balance": -1.0}, "balance is -1.0"),
    "nothing": ({"plain": (), "routed": ()}, "at least one layer"),
}


@pytest.mark.parametrize("case", SPECS)
def test_a_spec_that_cannot_be_is_refused(case):
    values, cause = SPECS[case]
    with pytest.raises(ValueError, match=cause):
        AdapterSpec(**values)


def test_a_layer_is_plain_or_routed():
    with pytest.raises(ValueError, match="transformer_blocks.0.ff.net.2 is in plain and in routed"):
        find_layers(recorded_flux(), AdapterSpec(plain=ROUTED[:1]))


def step(checkpointed=False, backend=None, spec=LEARNING):
    torch._dynamo.reset()
    trainable = randomised(Trainable(recorded_flux(), spec))
    if backend:
        trainable.compile_blocks(backend=backend)
    if checkpointed:
        trainable.checkpoint_blocks()
    tokens = trainable(**recorded_inputs()[0])
    balance = trainable.balance_loss()
    (tokens.square().mean() + spec.balance * balance).backward()
    gradients = {name: parameter.grad for name, parameter in trainable.named_adapter_parameters().items()}
    return trainable, tokens.detach(), balance.detach(), gradients


@pytest.mark.parametrize(
    ("checkpointed", "backend"), [(True, None), pytest.param(True, "aot_eager", marks=pytest.mark.slow)]
)
def test_checkpointing_and_compiling_change_no_gradient(checkpointed, backend):
    reference, tokens, balance, gradients = step()
    trainable, *others = step(checkpointed, backend)
    for got, expected in zip((*others[:2], *others[2].values()), (tokens, balance, *gradients.values()), strict=True):
        assert_rounded(got, expected)
    assert others[2].keys() == gradients.keys()
    assert all(gradient.any() for gradient in gradients.values())
    for name, counts in reference.expert_usage().items():
        assert torch.equal(counts, trainable.expert_usage()[name])
        assert counts.sum() == (2 * 32 if "ff.net" in name else 2 * 44)
    assert all(layer.gating.take() is None for layer in trainable.experts)  # no graph stays behind


@pytest.mark.slow
def test_one_compilation_serves_all_blocks_of_a_kind():
    def graphs(doubles, singles):
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        model = FluxTransformer2DModel(num_layers=doubles, num_single_layers=singles, **SIZES)
        trainable = Trainable(model, LEARNING)
        trainable.compile_blocks(backend="eager")
        trainable(**recorded_inputs()[0])
        return torch._dynamo.utils.counters["stats"]["unique_graphs"]

    assert graphs(3, 3) == graphs(2, 2)


def test_a_step_in_bfloat16_trains_float32_weights():
    reference = step()[3]
    for mixed in (True, False):
        model = recorded_flux() if mixed else recorded_flux().bfloat16()
        trainable = randomised(Trainable(model, LEARNING))
        inputs, _ = recorded_inputs()
        inputs = inputs if mixed else {n: v if n.endswith("ids") else v.bfloat16() for n, v in inputs.items()}
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            tokens = trainable(**inputs)
        (tokens.float().square().mean() + LEARNING.balance * trainable.balance_loss()).backward()
        gradients = [parameter.grad for parameter in trainable.adapter_parameters()]
        assert {gradient.dtype for gradient in gradients} == {torch.float32}
        ours, theirs = (torch.cat([g.flatten() for g in part]) for part in (gradients, reference.values()))
        assert error(ours, theirs) < 0.1


def test_usage_is_counted_in_training_passes_and_starts_again():
    trainable = Trainable(recorded_flux(), SMALL)
    output(trainable)
    assert trainable.expert_usage() == {}
    inputs, _ = recorded_inputs()
    for _ in range(2):
        trainable(**inputs)
    usage = trainable.expert_usage(reset=True)
    assert [int(counts.sum()) for counts in usage.values()] == [2 * 64, 2 * 64, 2 * 88, 2 * 88]
    assert trainable.expert_usage() == {}
    without = Trainable(recorded_flux(), AdapterSpec(rank=2, experts=0))
    without(**inputs)
    assert without.balance_loss() == 0 and without.expert_usage() == {}


def test_published_names_read_back():
    adapter = read(Trainable(recorded_flux(), AdapterSpec(rank=2, experts=3)).adapter_state())
    assert {len(routed.experts) for routed in adapter.routed.values()} == {3}
    assert all(name.startswith("transformer.") for name in (*adapter.plain, *adapter.routed))
