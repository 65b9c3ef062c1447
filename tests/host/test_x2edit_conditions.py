"""What a graph does to FLUX.1 dev with X2Edit on it: against the same experts merged into the weights by hand.

With routers that say nothing and all experts of a layer alike, every token gets two twelfths of one expert and the
shared one: a plain update. Merged by hand it needs none of the routed layers; the reference has the source tokens in
common with ours, which are tested against the recording.
"""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from ..rounding import FLOAT32, error
from . import x2edit_case as case
from .test_conditions_graph import loaded, shared
from .test_conditions_storage import STORED, dequantised, load, matrices

LATENT = (16, 2 * case.H, 2 * case.W)
TOP_K, EXPERTS = case.CONFIG["top_k"], case.CONFIG["num_experts"]
NORMAL = ("transformer_blocks.0.attn.to_out.0", "transformer_blocks.1.ff.net.0.proj", "transformer_blocks.1.ff.net.2")
PARTS = {"q": "to_q", "k": "to_k", "v": "to_v", "proj": "to_out.0"}


def alike():
    """The recorded adapter with the first expert of each layer in the place of all, and routers of zeros."""
    tensors = case.tensors()
    for key in tensors:
        if key.endswith("gate.weight"):
            tensors[key] = torch.zeros_like(tensors[key])
        elif ".experts." in key:
            head, tail = key.split(".experts.")
            tensors[key] = tensors[f"{head}.experts.0.{tail.split('.', 1)[1]}"]
    return {key: value.clone() for key, value in tensors.items()}


def merged(tensors, strength=1.0, base=None):
    """The weights with the adapter of `alike` in them; `proj` reads the output of its Linear, bias and all."""
    base = dict(base or case.weights())
    for key in [key for key in tensors if key.endswith("gate.weight")]:
        layer = key.removesuffix(".gate.weight")

        def update(name, layer=layer):
            return tensors[f"{layer}.{name}.up.weight"].float() @ tensors[f"{layer}.{name}.down.weight"].float()

        added = strength * (update("experts.0") * TOP_K / EXPERTS + update("shared_experts"))
        block, part = layer.removesuffix("_moe_lora").split(".processor.")
        name = f"{block}.{PARTS[part]}"
        weight = base[f"{name}.weight"]
        if part == "proj":
            base[f"{name}.bias"] = base[f"{name}.bias"] + added @ base[f"{name}.bias"]
            base[f"{name}.weight"] = weight + added @ weight
        else:
            base[f"{name}.weight"] = weight + added
    return base


def normal_lora():
    """A normal LoRA on layers that are not fused, which the bypass loader needs; experts read the first one."""
    draw, tensors = torch.Generator().manual_seed(1), {}
    for layer in NORMAL:
        out, wide = case.weights()[f"{layer}.weight"].shape
        tensors[f"transformer.{layer}.lora_A.weight"] = torch.randn(4, wide, generator=draw) / wide**0.5
        tensors[f"transformer.{layer}.lora_B.weight"] = torch.randn(out, 4, generator=draw) * 0.1
    return tensors


def with_normal(strength=0.7):
    base = case.weights()
    tensors = normal_lora()
    for layer in NORMAL:
        up, down = (tensors[f"transformer.{layer}.lora_{side}.weight"] for side in "BA")
        base[f"{layer}.weight"] = base[f"{layer}.weight"] + strength * up @ down
    return base


def conditioning(tokens=12, seed=0, **more):
    """A conditioning with a source of its own."""
    draw, io = torch.Generator().manual_seed(seed), case.recorded()
    values = {
        "pooled_output": torch.randn(1, io["pooled"].shape[-1], generator=draw),
        "reference_latents": [torch.randn(1, *LATENT, generator=draw)],
        "guidance": 3.5,
    }
    return [[torch.randn(1, tokens, io["ctx"].shape[-1], generator=draw), {**values, **more}]]


def sample(model, positive=None, negative=None, cfg=1.0, batch=1, callback=None):
    """Four Euler steps through the host's own sampler."""
    import comfy.sample
    import comfy.samplers

    positive = positive or conditioning()
    latent = torch.zeros(batch, *LATENT)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(7))
    euler, sigmas = comfy.samplers.sampler_object("euler"), torch.tensor([1.0, 0.8, 0.5, 0.2, 0.0])
    with torch.no_grad():
        return comfy.sample.sample_custom(
            model, noise, cfg, euler, sigmas, positive, negative or positive, latent, callback=callback,
            disable_pbar=True,
        )  # fmt: skip


@pytest.fixture(scope="module")
def attach(pack):
    from icedit_pack.icedit_core.adapters.readers import x2edit as reader
    from icedit_pack.nodes.host import x2edit

    def attach(model, strength=1.0, tensors=None):
        return x2edit.attach(model, reader.read(tensors or alike()), case.CONFIG["task_id"], strength, TOP_K)

    return attach


@pytest.fixture
def models(attach):
    """The plain model with its source tokens, the same with the experts, and the reference."""
    model = case.load(case.weights())
    return SimpleNamespace(
        model=model, plain=attach(model, 0.0), ours=attach(model), reference=attach(case.load(merged(alike())), 0.0)
    )


def same(models, run):
    """`run` of ours is `run` of the reference, the experts matter, and the plain model is left as it was."""
    before = run(models.plain)
    got, expected = run(models.ours), run(models.reference)
    print(f"error {error(got, expected):.1e}, of the plain model {error(before, expected):.1e}")
    assert error(got, expected) < FLOAT32 < error(before, expected) / 10
    assert torch.equal(run(models.plain), before)
    return got


def test_a_short_sampling(models):
    same(models, sample)


def test_batch_and_conditionings_of_different_lengths_and_sources(models):
    same(models, lambda model: sample(model, conditioning(20, 1), conditioning(9, 2), cfg=2.5, batch=3))


def test_two_strengths_of_one_model_by_turns(attach, models):
    half = attach(models.model, 0.5)
    expected = {model: sample(model) for model in (models.plain, models.ours, half)}
    assert error(expected[half], sample(attach(case.load(merged(alike(), 0.5)), 0.0))) < FLOAT32
    for model in (half, models.ours, models.plain, models.ours, half):
        assert torch.equal(sample(model), expected[model])


def test_low_vram_with_a_part_of_the_model_loaded(models, monkeypatch):
    """What `--lowvram` does, driven on the patchers: half of the model stays offloaded."""
    import comfy.model_management as management

    monkeypatch.setattr(
        management.LoadedModel,
        "model_use_more_vram",
        lambda self, extra, force_patch_weights=False: self.model.partially_load(
            self.device, self.model.model_size() // 2, force_patch_weights=force_patch_weights
        ),
    )
    states = []

    def run(model):
        latent = sample(model, callback=lambda *_: states.append(loaded(model)))
        model.detach()
        return latent

    same(models, run)
    assert states and all(0 < state.loaded < state.size and state.lowvram for state in states)


@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize("loader", ["load_lora_for_models", "load_bypass_lora_for_models"])
def test_a_normal_lora_before_and_after(attach, models, ours_first, loader):
    """By the stock loaders; the experts on the attention's output read what the LoRA made of it, as published."""
    import comfy.sd

    def normal(model):
        return getattr(comfy.sd, loader)(model, None, normal_lora(), 0.7, 0.0)[0]

    both = normal(models.ours) if ours_first else attach(normal(models.model))
    untouched = sample(models.plain)
    expected = sample(attach(case.load(merged(alike(), base=with_normal())), 0.0))
    assert error(sample(both), expected) < FLOAT32
    assert error(sample(models.ours), expected) > 1e-3
    assert torch.equal(sample(models.plain), untouched)


def test_hook_lora(attach, models):
    """A LoRA that the host puts on in mid-sampling, for one conditioning."""
    import comfy.hooks

    def hooked(model):
        patched, _, group = comfy.hooks.load_hook_lora_for_models(model, None, normal_lora(), 0.7, 0.0)
        return sample(patched, comfy.hooks.set_hooks_for_conditioning(conditioning(), group))

    got = hooked(models.ours)
    assert error(got, sample(attach(case.load(merged(alike(), base=with_normal())), 0.0))) < FLOAT32


def test_the_copy_for_another_gpu_has_experts_of_its_own(attach, tmp_path):
    """The host's multi-GPU copy, made for the CPU again; two cards are not at hand."""
    import comfy.sd

    path = tmp_path / "flux.safetensors"
    save_file(case.weights(), path)
    ours = attach(comfy.sd.load_diffusion_model(str(path), model_options={"dtype": torch.float32}))
    expected = sample(ours)
    copied = ours.deepclone_multigpu(new_load_device=torch.device("cpu"))
    (bank,), (theirs,) = ours.get_additional_models(), copied.get_additional_models()
    assert not shared(bank.model, theirs.model)
    for parameter in bank.model.parameters():
        parameter.data.zero_()  # were they used, the copy would lose its experts
    assert torch.equal(sample(copied), expected)
    assert error(sample(ours), expected) > 1e-3


def host_weights():
    """FLUX.1 dev in the host's naming, as checkpoints are stored."""
    state = case.load(case.weights()).model.state_dict()
    prefix = "diffusion_model."
    return {key.removeprefix(prefix): value.clone() for key, value in state.items() if key.startswith(prefix)}


def stored(kind):
    return load(case.weights(), dtype=STORED[kind])


def scaled_fp8(_):
    weights = host_weights()
    for key in matrices(weights):
        scale = weights[key].abs().max() / 448
        weights[key] = (weights[key] / scale).to(torch.float8_e4m3fn)
        weights[key.removesuffix("weight") + "scale_weight"] = scale
    return load(weights | {"scaled_fp8": torch.empty(2, dtype=torch.float8_e4m3fn)})


def packed(_):
    """A double of GGUF's tensor class."""
    from .packed_weights import Ops, Packed, Patcher

    weights = host_weights()
    model = load(weights | {key: Packed.of(weights[key]) for key in matrices(weights)}, custom_operations=Ops)
    return Patcher(model.model, model.load_device, model.offload_device)


@pytest.mark.parametrize(
    ("made", "kind"), [*((stored, kind) for kind in STORED), (scaled_fp8, "scaled fp8"), (packed, "packed")], ids=str
)
def test_weights_stored_otherwise(attach, made, kind):
    """Routed and shared experts as recorded: the velocity is that of the same numbers held in float32."""
    from comfy.model_patcher import get_key_weight

    model, twin = made(kind), {}
    for key in host_weights():
        weight, _, convert = get_key_weight(model.model, f"diffusion_model.{key}")
        twin[key] = dequantised(convert(weight) if convert else weight)
    same_numbers = load(twin, dtype=torch.float32)
    got = case.evaluate(attach(model, tensors=case.tensors()))[0]
    expected = case.evaluate(attach(same_numbers, tensors=case.tensors()))[0]
    plain = case.evaluate(attach(same_numbers, 0.0))[0]
    print(f"{kind}: {error(got, expected):.1e}, to float32 {error(got, case.recorded()['out']):.1e}")
    assert error(got, expected) < FLOAT32 < error(plain, expected) / 10


@pytest.mark.parametrize(("kind", "whole"), [("bf16", 0.07), ("fp16", 0.05)])
def test_computed_in(attach, kind, whole):
    model = load(case.weights(), dtype=torch.float32)
    model.set_model_compute_dtype(STORED[kind])
    ours = attach(model, tensors=case.tensors())
    (bank,) = ours.get_additional_models()
    assert {parameter.dtype for parameter in bank.model.parameters()} == {STORED[kind]}
    got, base = case.evaluate(ours)[0], case.evaluate(attach(model, 0.0))[0]
    exact = case.evaluate(attach(case.load(case.weights()), 0.0))[0]
    print(f"{kind}: {error(got, case.recorded()['out']):.1e}, of the base alone {error(base, exact):.1e}")
    assert error(got, case.recorded()["out"]) < whole
