"""Everything else a graph does to a model, with the adapter on it: against the same adapter merged by hand.

The reference is a model with the adapter's matrices added to its weights (`condition_case.alike`), run under the same
condition: none of our code is in it.
"""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from ..rounding import FLOAT32
from . import condition_case as conditions
from . import flux_case as case
from .condition_case import alike, conditioning, merged, sample

NORMAL = ("transformer_blocks.0.attn.to_out.0", "single_transformer_blocks.1.proj_out")


@pytest.fixture(scope="module")
def attach(pack):
    from icedit_pack.icedit_core.adapters.readers import read
    from icedit_pack.nodes.host import adapters

    return lambda model, tensors, strength=1.0: adapters.attach(model, read(tensors), strength, 1)


@pytest.fixture
def models(attach):
    """The plain model, the same with the adapter, and the reference."""
    plain = case.load(case.weights())
    return SimpleNamespace(plain=plain, ours=attach(plain, alike()), reference=case.load(merged(alike())))


def same(models, run, limit=FLOAT32):
    """`run` of ours is `run` of the reference, the adapter matters, and the plain model is left as it was."""
    before = run(models.plain)
    got, expected = run(models.ours), run(models.reference)
    print(f"error {case.error(got, expected):.1e}, of the plain model {case.error(before, expected):.1e}")
    assert case.error(got, expected) < limit < case.error(before, expected) / 10
    assert torch.equal(run(models.plain), before)
    return got


def normal_lora(seed=1):
    """A normal LoRA, in the naming that the stock loaders know, on layers that are not fused."""
    draw = torch.Generator().manual_seed(seed)
    base, tensors = case.weights(), {}
    for layer in NORMAL:
        out, wide = base[f"{layer}.weight"].shape
        tensors[f"transformer.{layer}.lora_A.weight"] = torch.randn(4, wide, generator=draw) / wide**0.5
        tensors[f"transformer.{layer}.lora_B.weight"] = torch.randn(out, 4, generator=draw) * 0.1
    return tensors


def test_a_short_sampling(models):
    same(models, sample)


def test_batch_and_conditionings_of_different_lengths(models):
    same(models, lambda m: sample(m, conditioning(20, 1), conditioning(9, 2), cfg=2.5, batch=3))


def test_two_strengths_of_one_model_by_turns(attach, models):
    half = attach(models.plain, alike(), 0.5)
    expected = {model: sample(model) for model in (models.plain, models.ours, half)}
    reference = sample(case.load(merged(alike(), 0.5)))
    assert case.error(expected[half], reference) < FLOAT32
    for model in (half, models.ours, models.plain, models.ours, half):
        assert torch.equal(sample(model), expected[model])


def test_low_vram_with_a_part_of_the_model_loaded(models, monkeypatch):
    """What `--lowvram` does, driven on the patchers: half of each stays offloaded, plain LoRA is added on the fly."""
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
        latent = sample(model, callback=lambda *_: states.append((model, loaded(model))))
        model.detach()
        return latent

    same(models, run)
    assert states and all(0 < state.loaded < state.size and state.lowvram for _, state in states)
    assert all(state.patches > 0 for model, state in states if model is models.ours)


def loaded(model):
    network = model.model
    return SimpleNamespace(
        loaded=model.loaded_size(),
        size=model.model_size(),
        lowvram=network.model_lowvram,
        patches=network.lowvram_patch_counter,
    )


def test_hook_lora(models):
    """A LoRA that the host puts on in mid-sampling, for one conditioning."""
    import comfy.hooks
    import comfy.sd

    def hooked(model):
        return hook_on(model, comfy.hooks, None)

    got = same(models, hooked)
    both = case.load(merged(normal_lora(), 0.7, merged(alike())))
    assert case.error(got, sample(both)) < FLOAT32


def hook_on(model, hooks, keyframes):
    group = hooks.HookGroup()
    patched, _, group = hooks.load_hook_lora_for_models(model, None, normal_lora(), 0.7, 0.0)
    if keyframes:
        group.set_keyframes_on_hooks(keyframes)
    return sample(patched, hooks.set_hooks_for_conditioning(conditioning(), group))


def test_scheduled_lora(models):
    import comfy.hooks

    keyframes = comfy.hooks.HookKeyframeGroup()
    keyframes.add(comfy.hooks.HookKeyframe(strength=0.0, start_percent=0.0))
    keyframes.add(comfy.hooks.HookKeyframe(strength=1.0, start_percent=0.5))
    got = same(models, lambda model: hook_on(model, comfy.hooks, keyframes.clone()))
    always = hook_on(models.ours, comfy.hooks, None)
    assert case.error(got, always) > 1e-3 and case.error(got, sample(models.ours)) > 1e-3


@pytest.mark.parametrize("ours_first", [True, False])
def test_stock_bypass_loader(attach, models, ours_first):
    """The stock loader that leaves weights alone, before and after ours."""
    import comfy.sd

    def bypass(model):
        return comfy.sd.load_bypass_lora_for_models(model, None, normal_lora(), 0.7, 0.0)[0]

    both = bypass(attach(models.plain, alike())) if ours_first else attach(bypass(models.plain), alike())
    untouched = sample(models.plain)
    expected = sample(case.load(merged(normal_lora(), 0.7, merged(alike()))))
    assert case.error(sample(both), expected) < FLOAT32
    assert torch.equal(sample(models.plain), untouched)


def test_controlnet(models):
    """A small ControlNet of FLUX with random weights."""
    draw = torch.Generator().manual_seed(5)
    control = small_controlnet(draw)
    hint = torch.rand(1, 3, 64, 128, generator=draw)

    def run(model):
        return sample(
            model, conditioning(control=control.copy().set_cond_hint(hint, 0.8), control_apply_to_uncond=True)
        )

    got = same(models, run)
    assert case.error(got, sample(models.ours)) > 1e-3


def small_controlnet(draw):
    import comfy.controlnet
    import comfy.ldm.flux.controlnet
    import comfy.ops

    config = {**case.load(case.weights()).model.model_config.unet_config, "depth": 1, "depth_single_blocks": 1}
    sizes = {key: value for key, value in config.items() if key not in ("dtype", "device")} | {"in_channels": 16}
    network = comfy.ldm.flux.controlnet.ControlNetFlux(
        operations=comfy.ops.manual_cast, dtype=torch.float32, device="cpu", **sizes
    )
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=draw) * 0.05
    return comfy.controlnet.ControlNet(
        network, load_device=torch.device("cpu"), manual_cast_dtype=None, extra_conds=["y", "guidance"]
    )


def test_context_windows(models):
    """Windows over the latent's width, the host's own node."""
    from comfy_extras.nodes_context_windows import ContextWindowsManualNode

    def run(model):
        windowed = ContextWindowsManualNode.execute(model, 8, 4, "standard_static", 1, False, "pyramid", 3, False)
        return sample(windowed.args[0])

    got = same(models, run)
    assert case.error(got, sample(models.ours)) > 1e-3


def test_the_copy_for_another_gpu_has_experts_of_its_own(attach, tmp_path):
    """The host's multi-GPU copy, made for the CPU again; two cards are not at hand."""
    import comfy.sd

    path = tmp_path / "flux.safetensors"
    save_file(case.weights(), path)
    model = comfy.sd.load_diffusion_model(str(path), model_options={"dtype": torch.float32})
    ours = attach(model, conditions.published())
    expected = case.evaluate(ours)[0]
    copied = ours.deepclone_multigpu(new_load_device=torch.device("cpu"))
    assert copied.model is not ours.model
    (bank,), (theirs,) = ours.get_additional_models(), copied.get_additional_models()
    assert not shared(bank.model, theirs.model)
    for parameter in bank.model.parameters():
        parameter.data.zero_()  # were they used, the copy would lose its experts
    assert torch.equal(case.evaluate(copied)[0], expected)
    assert case.error(case.evaluate(ours)[0], expected) > 1e-3


def shared(one, other):
    return {p.data_ptr() for p in one.parameters()} & {p.data_ptr() for p in other.parameters()}
