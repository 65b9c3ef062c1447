"""The loader on the real host: against the recorded outputs, at full width, chained, refused, and gone afterwards."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from ..rounding import assert_rounded
from . import flux_case as case
from .condition_case import LAYERS, experts, is_routed


@pytest.fixture(scope="module")
def ours(pack):
    from icedit_pack.icedit_core.adapters import files, readers, widen
    from icedit_pack.nodes.host import adapters

    def load_lora(model, path, strength=1.0, top_k=1):
        adapter, _ = files.load(path)
        return adapters.attach(model, adapter, strength, top_k)

    return SimpleNamespace(load=load_lora, attach=adapters.attach, read=readers.read, for_fill=widen.for_fill)


@pytest.fixture
def model(pack):
    return case.load(case.weights())


def plain_lora(seed, layers=("transformer_blocks.0.attn.to_q", "single_transformer_blocks.1.proj_mlp"), rank=4):
    """A normal LoRA in the published layout for the recorded model."""
    draw = torch.Generator().manual_seed(seed)
    base = case.weights()
    tensors = {}
    for layer in layers:
        out, wide = base[f"{layer}.weight"].shape
        tensors[f"transformer.{layer}.lora_A.weight"] = torch.randn(rank, wide, generator=draw) / wide**0.5
        tensors[f"transformer.{layer}.lora_B.weight"] = torch.randn(out, rank, generator=draw) * 0.1
    return tensors


def merged(base, tensors, strength=1.0):
    """W + strength * B A, written out, in diffusers' naming where q, k and v are weights of their own."""
    base = dict(base)
    for key in [key for key in tensors if ".lora_A." in key]:
        layer = key.removeprefix("transformer.").removesuffix(".lora_A.weight")
        up = tensors[key.replace("lora_A", "lora_B")]
        base[f"{layer}.weight"] = base[f"{layer}.weight"] + strength * up.float() @ tensors[key].float()
    return base


def test_recorded_output_of_the_published_implementation(ours, model):
    io = case.recorded()
    untouched, _ = case.evaluate(model)
    velocity, tapped = case.evaluate(ours.load(model, case.ADAPTER), LAYERS.values())
    base = case.error(untouched, io["out_base"])
    assert_rounded(velocity, io["out_moe"], base)
    for name, module in LAYERS.items():
        assert_rounded(tapped[module][1], io[f"{name}.out"], base, name)
    assert torch.equal(case.evaluate(model)[0], untouched)


def test_strength_zero_and_an_exception_leave_the_model_bit_identical(ours, model):
    untouched, _ = case.evaluate(model)
    assert torch.equal(case.evaluate(ours.load(model, case.ADAPTER, strength=0.0))[0], untouched)
    adapted = ours.load(model, case.ADAPTER)
    with pytest.raises(RuntimeError, match="in the middle"):
        case.evaluate(adapted, fail=True)
    assert torch.equal(case.evaluate(model)[0], untouched)
    io = case.recorded()
    assert_rounded(case.evaluate(adapted)[0], io["out_moe"], case.error(untouched, io["out_base"]))


def test_interrupt_stops_before_the_next_step_is_done_and_leaves_the_model_clean(ours, model):
    import comfy.model_management
    import comfy.sample
    import comfy.samplers

    untouched, _ = case.evaluate(model)
    adapted = ours.load(model, case.ADAPTER)
    io = case.recorded()
    latent = torch.zeros(1, 16, 8, 16)
    positive = [[io["ctx"][:1], {"pooled_output": io["pooled"][:1], "concat_latent_image": latent}]]
    done = []

    def interrupt_after_the_second(step, denoised, x, total):
        done.append(step)
        if step == 1:
            comfy.model_management.interrupt_current_processing()

    def sample(callback):
        with torch.no_grad():
            return comfy.sample.sample_custom(
                adapted,
                torch.ones_like(latent),
                1.0,
                comfy.samplers.sampler_object("euler"),
                torch.linspace(1, 0, 9),
                positive,
                positive,
                latent,
                callback=callback,
            )

    expected = sample(None)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        sample(interrupt_after_the_second)
    assert done == [0, 1]
    assert torch.equal(sample(None), expected)
    assert torch.equal(case.evaluate(model)[0], untouched)


def test_one_model_object_with_and_without_by_turns(ours, model):
    untouched, _ = case.evaluate(model)
    adapted = ours.load(model, case.ADAPTER)
    first, _ = case.evaluate(adapted)
    for _ in range(2):
        assert torch.equal(case.evaluate(model)[0], untouched)
        assert torch.equal(case.evaluate(adapted)[0], first)


def test_an_input_layer_of_flux_dev_reads_the_noise_alone(ours, model):
    """Speed LoRAs made for FLUX.1 dev: 64 inputs where FLUX.1 Fill has 384, of which the first 64 are dev's."""
    tensors = plain_lora(5, ("x_embedder", "transformer_blocks.0.attn.to_q"))
    wide = tensors["transformer.x_embedder.lora_A.weight"]
    dev = tensors | {"transformer.x_embedder.lora_A.weight": wide[:, :64].contiguous()}
    as_fill = tensors | {"transformer.x_embedder.lora_A.weight": torch.cat([wide[:, :64], 0 * wide[:, 64:]], 1)}
    expected, _ = case.evaluate(case.load(merged(case.weights(), as_fill)))
    adapter, padded = ours.for_fill(ours.read(dev))
    assert padded == ["transformer.x_embedder"]
    got, _ = case.evaluate(ours.attach(model, adapter, 1.0, 1))
    assert case.error(got, expected) < 1e-5
    without = {key: value for key, value in dev.items() if "x_embedder" not in key}
    assert case.error(case.evaluate(ours.attach(model, ours.read(without), 1.0, 1))[0], expected) > 1e-3


def test_any_order_with_a_normal_lora_and_the_stock_loader_equals_the_sum(ours, model, tmp_path):
    import comfy.sd

    normal, stock = plain_lora(1), plain_lora(2, ("x_embedder", "transformer_blocks.0.attn.to_q", "proj_out"))
    save_file(normal, tmp_path / "normal.safetensors")
    steps = {
        "moe": lambda m: ours.load(m, case.ADAPTER),
        "normal": lambda m: ours.load(m, tmp_path / "normal.safetensors", strength=0.7),
        "stock": lambda m: comfy.sd.load_lora_for_models(m, None, stock, 0.5, 0.0)[0],
    }
    routed_only = ours.read({key: value for key, value in load_file(case.ADAPTER).items() if is_routed(key)})
    plain_of_moe = {key: value for key, value in load_file(case.ADAPTER).items() if not is_routed(key)}
    base = merged(merged(merged(case.weights(), plain_of_moe), normal, 0.7), stock, 0.5)
    expected, _ = case.evaluate(ours.attach(case.load(base), routed_only, 1.0, 1))
    untouched, _ = case.evaluate(model)
    assert case.error(untouched, expected) > 1e-2
    for order in itertools.permutations(steps):
        chained = model
        for step in order:
            chained = steps[step](chained)
        assert_rounded(case.evaluate(chained)[0], expected, about=order)
    assert torch.equal(case.evaluate(model)[0], untouched)


def test_two_moe_files_add_up_layer_by_layer(ours, model, tmp_path):
    tensors = load_file(case.ADAPTER)
    other = {key: value.float().flip(0).contiguous() for key, value in tensors.items() if is_routed(key)}
    save_file(other, tmp_path / "other.safetensors")
    both = ours.load(ours.load(model, case.ADAPTER), tmp_path / "other.safetensors", strength=0.5)
    modules = [*LAYERS.values()]
    _, tapped = case.evaluate(both, modules)
    for name, module in LAYERS.items():
        x, y = tapped[module]
        expected = linear(x, case.weights(), name) + experts(x, tensors, name) + 0.5 * experts(x, other, name)
        assert_rounded(y, expected, about=name)


def test_host_naming_gives_the_same_bits(ours, model, tmp_path):
    names = {"transformer." + ours_: "diffusion_model." + theirs for ours_, theirs in LAYERS.items()}
    for prefix in ("diffusion_model.", ""):
        renamed = {}
        for key, value in load_file(case.ADAPTER).items():
            layer = next((name for name in names if key.startswith(name + ".")), None)
            if layer:
                renamed[prefix + names[layer].removeprefix("diffusion_model.") + key.removeprefix(layer)] = value
        published = ours.read({k: v for k, v in load_file(case.ADAPTER).items() if k.startswith(tuple(names))})
        expected, _ = case.evaluate(ours.attach(model, published, 1.0, 1))
        assert torch.equal(case.evaluate(ours.attach(model, ours.read(renamed), 1.0, 1))[0], expected)


def test_experts_on_fused_rows(ours, model):
    """An expert layer on k alone is a row slice of the host's qkv."""
    tensors = load_file(case.ADAPTER)
    name, rows = "transformer_blocks.1.attn.to_k", slice(128, 256)
    source = "transformer.single_transformer_blocks.0.proj_out."
    own = {f"transformer.{name}.{key.removeprefix(source)}": v for key, v in tensors.items() if key.startswith(source)}
    own = {key: (v[:, :128] if v.shape[1] == 640 else v).contiguous() for key, v in own.items()}
    adapted = ours.attach(model, ours.read(own), 1.0, 1)
    _, tapped = case.evaluate(adapted, ["double_blocks.1.img_attn.qkv"])
    x, y = tapped["double_blocks.1.img_attn.qkv"]
    with torch.no_grad():
        plain = model.model.diffusion_model.double_blocks[1].img_attn.qkv(x)
    assert torch.equal(torch.cat([y[..., :128], y[..., 256:]], -1), torch.cat([plain[..., :128], plain[..., 256:]], -1))
    assert_rounded(y[..., rows] - plain[..., rows], experts(x, own, name))


@pytest.mark.slow
def test_full_width_against_the_equations(ours):
    """Hidden 3072, one block of each kind, rank 32, every published target."""
    generator = torch.Generator().manual_seed(3)
    full = full_width_weights(generator)
    model = case.load(full)
    tensors = case.random_adapter(full, generator)
    targets = {
        "double_blocks.0.img_attn.qkv": [f"transformer_blocks.0.attn.to_{p}" for p in "qkv"],
        "double_blocks.0.img_attn.proj": ["transformer_blocks.0.attn.to_out.0"],
        "double_blocks.0.img_mod.lin": ["transformer_blocks.0.norm1.linear"],
        "double_blocks.0.img_mlp.2": ["transformer_blocks.0.ff.net.2"],
        "single_blocks.0.linear1": [f"single_transformer_blocks.0.attn.to_{p}" for p in "qkv"]
        + ["single_transformer_blocks.0.proj_mlp"],
        "single_blocks.0.linear2": ["single_transformer_blocks.0.proj_out"],
        "single_blocks.0.modulation.lin": ["single_transformer_blocks.0.norm.linear"],
        "img_in": ["x_embedder"],
    }
    _, tapped = case.evaluate(ours.attach(model, ours.read(tensors), 0.8, 1), targets)
    for module, names in targets.items():
        x, y = tapped[module]
        expected = torch.cat([linear(x, full, name) + 0.8 * update(x, tensors, name) for name in names], -1)
        changed = torch.cat([linear(x, full, name) for name in names], -1)
        assert_rounded(y, expected, about=module)
        assert case.error(changed, expected) > 1e-3, module


def linear(x, weights, name):
    """The base layer in float64."""
    return x.double() @ weights[f"{name}.weight"].double().T + weights[f"{name}.bias"]


def update(x, tensors, name):
    if f"transformer.{name}.lora_route.weight" in tensors:
        return experts(x, tensors, name)
    down, up = (tensors[f"transformer.{name}.lora_{side}.weight"] for side in "AB")
    return x.double() @ down.double().T @ up.double().T


def full_width_weights(generator, hidden=3072):
    """Random weights in diffusers' naming with the shapes of the recorded model, scaled up to the full width."""
    wide = {128: hidden, 384: 384, 256: 256}
    weights = {}
    for key, value in case.weights().items():
        if "blocks.1." in key:
            continue
        shape = [scaled(size, axis, key, hidden, wide) for axis, size in enumerate(value.shape)]
        if len(shape) == 2:
            weights[key] = torch.randn(shape, generator=generator).mul_(shape[1] ** -0.5)
        else:
            weights[key] = torch.ones(shape) if "norm_" in key else torch.zeros(shape)
    return weights


def scaled(size, axis, key, hidden, wide):
    """Every multiple of the small width but the fixed ones: heads' norms, inputs, the time embedding, the output."""
    fixed = "norm_" in key and "norm_out" not in key
    fixed |= axis == 1 and any(part in key for part in ("x_embedder", "context_embedder", "linear_1"))
    fixed |= axis == 0 and key.startswith("proj_out")
    return size if fixed else size * hidden // 128


REFUSED = {
    "another width": (
        {
            "transformer.proj_out.lora_A.weight": torch.ones(2, 64),
            "transformer.proj_out.lora_B.weight": torch.ones(64, 2),
        },
        "proj_out fits a layer of 64 inputs and 64 outputs, but this model's has 128 and 64.*choose a LoRA for FLUX.1",
    ),
    "FLUX.1 Canny's LoRA": (
        {
            "transformer.x_embedder.lora_A.weight": torch.ones(2, 128),
            "transformer.x_embedder.lora_B.weight": torch.ones(128, 2),
        },
        r"layer of 128 inputs .* has 384 and 128.*another model \(FLUX.1 Canny or Depth\)",
    ),
    "layers of a larger FLUX": (
        {
            f"lora_unet_double_blocks_{i}_img_attn_proj.lora_{side}.weight": torch.ones(4, 4)
            for i in range(4, 6)
            for side in ("down", "up")
        },
        r"2 of 2 layers of the file are not in this model \(Flux, FLUX.1 Fill\).*choose a LoRA for FLUX.1",
    ),
    "one layer under two names": (
        {
            f"{name}.lora_{side}.weight": torch.ones(*((2, 512) if side == "A" else (128, 2)))
            for name in ("transformer.transformer_blocks.0.ff.net.2", "diffusion_model.double_blocks.0.img_mlp.2")
            for side in "AB"
        },
        "same layer under two names",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_with_the_cause_and_the_model_untouched(ours, model, kind):
    tensors, cause = REFUSED[kind]
    before, _ = case.evaluate(model)
    with pytest.raises(ValueError, match=cause):
        ours.attach(model, ours.read(tensors), 1.0, 1)
    assert not model.patches and not model.additional_models
    assert torch.equal(case.evaluate(model)[0], before)


def test_top_k_of_the_node_reaches_the_layer(ours, model):
    adapter = ours.read({k: v for k, v in load_file(case.ADAPTER).items() if is_routed(k)})
    name, module = next(iter(LAYERS.items()))
    _, tapped = case.evaluate(ours.attach(model, adapter, 1.0, 3), [module])
    x, y = tapped[module]
    assert_rounded(y, linear(x, case.weights(), name) + experts(x, load_file(case.ADAPTER), name, top_k=3))
    with pytest.raises(ValueError, match="top_k is 5"):
        ours.attach(model, adapter, 1.0, 5)
