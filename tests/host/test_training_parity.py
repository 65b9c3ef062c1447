"""What the trainer writes, the host reads: the same step, with plain layers, experts, strength and alpha."""

import pytest
import torch
from safetensors.torch import load_file

from ..rounding import assert_rounded
from . import flux_case as case

SIZES = {
    "patch_size": 1,
    "in_channels": 384,
    "out_channels": 64,
    "num_layers": 2,
    "num_single_layers": 2,
    "attention_head_dim": 128,
    "num_attention_heads": 1,
    "joint_attention_dim": 64,
    "pooled_projection_dim": 32,
    "guidance_embeds": True,
    "axes_dims_rope": (16, 56, 56),
}
INPUTS = {"hidden": "hidden_states", "ctx": "encoder_hidden_states", "pooled": "pooled_projections"}


@pytest.fixture(scope="module")
def training(pack):
    from icedit_pack.icedit_core.training import lora

    return lora


@pytest.fixture(scope="module")
def inputs():
    io = {name: value for name, value in case.recorded().items() if "." not in name and "out_" not in name}
    return {INPUTS.get(name, name): value for name, value in io.items()}


def trained(training, inputs, **spec):
    """Three steps of a training on the recorded model, large enough that the adapter is far from nothing."""
    from diffusers import FluxTransformer2DModel

    flux = FluxTransformer2DModel(**SIZES)
    flux.load_state_dict(case.weights())
    trainable = training.Trainable(flux.eval(), training.AdapterSpec(**{"rank": 8, "alpha": 8.0} | spec), seed=1)
    optimiser = torch.optim.AdamW(trainable.adapter_parameters(), lr=0.03)
    goal = torch.randn(2, 32, 64, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        optimiser.zero_grad()
        loss = (trainable(**inputs) - goal).square().mean() + trainable.spec.balance * trainable.balance_loss()
        loss.backward()
        optimiser.step()
    return trainable


def load_lora(base, trainable, training, name, strength=1.0):
    """The node itself, on a file in models/loras."""
    from icedit_pack.nodes.lora import ICEditLoadLoRA

    folder = base / "models" / "loras"
    folder.mkdir(exist_ok=True)
    spec = trainable.spec
    training.save_adapter(folder / name, trainable.adapter_state(), {"top_k": str(spec.top_k), "rank": str(spec.rank)})
    node = ICEditLoadLoRA.PREPARE_CLASS_CLONE(None)
    return node.execute(case.load(case.weights()), name, strength).args[0]


CASES = {
    "published": {},
    "straight through, balanced": {"router_gradient": "straight_through", "balance": 0.1},
    "top 2, alpha twice the rank": {"top_k": 2, "alpha": 16.0},
    "alpha no power of two": {"alpha": 12.0},
    "plain": {"experts": 0},
    "experts alone": {"plain": ()},
}


@pytest.mark.parametrize("kind", CASES)
def test_a_trained_file_gives_the_host_the_same_step(training, inputs, host_modules, kind):
    trainable = trained(training, inputs, **CASES[kind])
    with torch.no_grad():
        expected = trainable(**inputs)
    model = load_lora(host_modules, trainable, training, f"{kind}.safetensors")
    got, _ = case.evaluate(model)
    assert case.error(expected, case.recorded()["out_base"]) > 0.05
    assert_rounded(got, expected)


def test_strength_means_the_same_in_both(training, inputs, host_modules):
    trainable = trained(training, inputs, alpha=16.0)
    model = load_lora(host_modules, trainable, training, "strength.safetensors", strength=0.6)
    trainable.set_strength(0.6)
    with torch.no_grad():
        expected = trainable(**inputs)
    assert_rounded(case.evaluate(model)[0], expected)


def test_the_recorded_adapter_gives_one_output_in_the_trainer_the_host_and_the_record(training, inputs, host_modules):
    from diffusers import FluxTransformer2DModel

    flux = FluxTransformer2DModel(**SIZES)
    flux.load_state_dict(case.weights())
    trainable = training.Trainable(flux.eval(), training.AdapterSpec(rank=8, alpha=8.0))
    trainable.load_adapter(load_file(case.ADAPTER))
    io = case.recorded()
    base = case.error(case.evaluate(case.load(case.weights()))[0], io["out_base"])
    with torch.no_grad():
        assert_rounded(trainable(**inputs), io["out_moe"], base)
    model = load_lora(host_modules, trainable, training, "recorded.safetensors")
    assert_rounded(case.evaluate(model)[0], io["out_moe"], base)
