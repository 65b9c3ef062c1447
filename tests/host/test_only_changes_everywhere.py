"""ICEdit Only What Changes with each editor and every stock sampler, and what is left of it: nothing."""

import gc

import pytest
import torch

from . import only_changes_case as editors

KINDS = {  # a few samplers of each sort: one call or several a step, noise of their own, steps of their own
    "kontext": ("euler", "dpmpp_2m_sde", "dpm_fast"),
    "flux2": ("heun", "dpmpp_sde"),
    "qwen 2511": ("uni_pc", "dpm_2_ancestral", "res_multistep"),
    "fill": ("euler_ancestral", "ddim", "dpm_adaptive"),
}
OWN_STEPS = ("dpm_fast", "dpm_adaptive")
SIGMAS = torch.tensor([1.0, 0.85, 0.65, 0.45, 0.2, 0.0])


@pytest.fixture(scope="module")
def ours(pack):
    return editors.ours()


@pytest.fixture(scope="module")
def editor(pack):
    """kind -> MODEL, inputs, settings of the node with half of the picture as the region; made once."""
    made = {}

    def get(kind):
        if kind not in made:
            if kind == "qwen 2511":
                model, given, source = editors.qwen_2511()
                made[kind] = model, given, editors.half() | {"source": source}
            else:
                model = editors.small(kind)
                made[kind] = model, editors.inputs(model, kind), editors.half()
        return made[kind]

    return get


def samples(ours, editor, kind, name):
    """Less is computed, and the end is finite; samplers that choose their own steps are the stock model's, and said."""
    (model, given, settings), heard = editor(kind), []
    done = editors.sample(ours.attach(model, heard, **settings), given, name, sigmas=SIGMAS, cfg=1.5)
    kinds = {step.kind for step in heard[0].steps}
    assert torch.isfinite(done).all(), name
    assert ("chooses its own steps" in heard[0].always_full) is (name in OWN_STEPS), name
    assert kinds == ({"full"} if name in OWN_STEPS else {"full", "short"}), name
    if name in OWN_STEPS:
        assert torch.equal(done, editors.sample(model, given, name, sigmas=SIGMAS, cfg=1.5)), name


@pytest.mark.parametrize("kind", KINDS)
def test_samplers_of_each_sort(ours, editor, kind):
    for name in KINDS[kind]:
        samples(ours, editor, kind, name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_stock_sampler(ours, editor, kind):
    import comfy.samplers

    for name in comfy.samplers.KSampler.SAMPLERS:
        samples(ours, editor, kind, name)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_behind(ours, editor, kind):
    """After an end, an error, a cancel: no kept tensor, the model as it was (a bypassed node), the same bits again."""
    import comfy.model_management

    cancelled = comfy.model_management.InterruptProcessingException
    model, given, settings = editor(kind)
    plain, was = editors.sample(model, given), state(model)
    patched = ours.attach(model, **settings)
    first = editors.sample(patched, given)
    before, own = tensors(), state(patched)
    for stopped in (None, RuntimeError("stopped in the middle"), cancelled()):

        def stop(step, x0, x, total, stopped=stopped):
            if step == 2 and stopped is not None:
                raise stopped

        if stopped is None:
            editors.sample(patched, given, callback=stop)
        else:
            with pytest.raises(type(stopped)):
                editors.sample(patched, given, callback=stop)
            stopped.__traceback__ = None  # it holds the frames, and they the tensors
        assert tensors() <= before and state(patched) == own
        holder = patched.get_additional_models_with_key(ours.key)[0].model
        assert holder.keys_values.bytes == 0 and holder.expected == 0 and holder.reserved is None
    assert torch.equal(editors.sample(model, given), plain) and state(model) == was
    assert torch.equal(editors.sample(patched, given), first)


def tensors():
    """Bytes of all tensors that anything holds; those without numbers, which compiling leaves, have none."""
    gc.collect()
    plain = (one for one in gc.get_objects() if type(one) in (torch.Tensor, torch.nn.Parameter))
    return sum({one.data_ptr(): one.untyped_storage().nbytes() for one in plain}.values())


def state(model):
    """What can be hung into a MODEL, in words, and its weights' sum."""
    network = model.model.diffusion_model
    hooks = [name for name, one in network.named_modules() if one._forward_hooks or one._forward_pre_hooks]
    weights = sum(float(weight.double().sum()) for weight in network.parameters())
    return repr((model.model_options, model.wrappers, model.patches, model.object_patches, hooks)), weights
