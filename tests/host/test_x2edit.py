"""X2Edit's adapter on the real host: the recorded run of the published code, and what must be left as it was."""

from types import SimpleNamespace

import pytest
import torch

from ..rounding import assert_rounded, error
from . import flux_case
from . import x2edit_case as case

TASK = case.CONFIG["task_id"]


@pytest.fixture(scope="module")
def ours(pack):
    from icedit_pack.icedit_core.adapters.readers import x2edit as reader
    from icedit_pack.nodes.host import adapters, fill, x2edit

    def attach(model, task=TASK, strength=1.0, name="X2Edit"):
        return x2edit.attach(model, reader.read(case.tensors()), task, strength, case.CONFIG["top_k"], name)

    return SimpleNamespace(attach=attach, routings=adapters.routings, fill=fill)


@pytest.fixture(scope="module")
def model(pack):
    return case.load(case.weights())


@pytest.fixture(scope="module")
def expected():
    return case.recorded()["out"]


def state(model):
    return {key: value.clone() for key, value in model.model.state_dict().items()}


def test_recorded_run_of_the_published_implementation(ours, model, expected):
    assert_rounded(case.evaluate(ours.attach(model))[0], expected)


def test_recorded_layers_of_the_published_implementation(ours, model):
    """A layer's update is the output with the experts, less what the plain Linear makes of the same input."""
    io = case.recorded()
    _, tapped = case.evaluate(ours.attach(model), {module for module, _ in case.LAYERS.values()})
    for recorded, (module, start) in case.LAYERS.items():
        (x, y), update = tapped[module], io[f"{recorded}.out"]
        plain = model.model.diffusion_model.get_submodule(module)(x)
        rows = slice(start, start + update.shape[-1])
        read = plain if recorded.endswith("proj_moe_lora") else x
        assert_rounded(read, io[f"{recorded}.in"], about=recorded)
        # The update is smaller than the output it stands in, whose rounding it therefore has.
        assert error(y[..., rows], plain[..., rows] + update) < 3e-5, recorded
        assert error(y[..., rows], plain[..., rows]) > 1e-3, recorded


def test_strength_and_task_count(ours, model, expected):
    without = case.evaluate(ours.attach(model, strength=0.0))[0]
    assert error(without, expected) > 5e-3
    assert error(case.evaluate(ours.attach(model, strength=0.5))[0], expected) > 1e-3
    other = case.evaluate(ours.attach(model, task=TASK + 1))[0]
    assert 1e-4 < error(other, expected) < error(without, expected)


def test_each_part_of_the_source_counts(ours, model, expected, monkeypatch):
    """The same with another row, and with the host's own reference tokens: none of them is what was recorded."""
    from icedit_pack.icedit_core.x2edit import sizes

    adapted = ours.attach(model)
    monkeypatch.setattr(sizes, "row_offset", lambda *_: 128)
    assert error(case.evaluate(adapted)[0], expected) > 2e-4
    monkeypatch.undo()
    plain = case.evaluate(model)[0]
    assert error(plain, case.evaluate(ours.attach(model, strength=0.0))[0]) > 2e-4


def test_a_batch_is_its_samples(ours, model, expected):
    got = case.evaluate(ours.attach(model), batch=3)[0]
    assert_rounded(got, expected.expand(3, -1, -1))


def test_different_samples_of_a_batch_are_themselves(ours, model):
    """Other noise, source, time, words and guidance: none of a sample's own may reach the other."""
    adapted, first = ours.attach(model), case.recorded()
    draw = torch.Generator().manual_seed(0)
    second = {key: first[key] + 0.3 * torch.rand(first[key].shape, generator=draw) for key in case.INPUTS}
    both = {key: torch.cat([first[key], second[key]]) for key in case.INPUTS}
    expected = [case.evaluate(adapted, io=io)[0] for io in (first, second)]
    assert error(expected[0], expected[1]) > 1e-2
    assert_rounded(case.evaluate(adapted, io=both)[0], torch.cat(expected))


def test_the_model_is_untouched_afterwards_even_after_an_exception(ours, model, expected):
    before, plain = state(model), case.evaluate(model)[0]
    adapted = ours.attach(model)
    case.evaluate(adapted)
    with pytest.raises(RuntimeError, match="in the middle"):
        case.evaluate(adapted, fail=True)
    with pytest.raises(ValueError, match="reference latents"):
        case.evaluate(adapted, sources="none")
    assert all(torch.equal(value, before[key]) for key, value in model.model.state_dict().items())
    assert not [name for name, module in model.model.named_modules() if "forward" in vars(module)]
    assert torch.equal(case.evaluate(model)[0], plain)
    assert_rounded(case.evaluate(adapted)[0], expected)


def test_two_tasks_of_one_model_by_turns(ours, model):
    first, second = ours.attach(model, task=1), ours.attach(model, task=2)
    answers = [case.evaluate(one)[0] for one in (first, second, first, second)]
    assert torch.equal(answers[0], answers[2]) and torch.equal(answers[1], answers[3])
    assert not torch.equal(answers[0], answers[1])


@pytest.mark.parametrize(("sources", "count"), [("none", 0), ("two", 2)])
def test_exactly_one_source_is_needed(ours, model, sources, count):
    with pytest.raises(ValueError, match=f"ICEdit X2 Adapter: a conditioning has {count} reference.*ReferenceLatent"):
        case.evaluate(ours.attach(model), sources=sources)


def test_another_model_is_named(ours, pack):
    with pytest.raises(ValueError, match=r"the model is FLUX.1 Fill, but X2Edit.*Fill goes with ICEdit Load LoRA"):
        ours.attach(flux_case.load(flux_case.weights()))


def test_a_smaller_model_is_refused(ours, model):
    half = {key: value for key, value in case.weights().items() if not key.startswith("single_transformer_blocks.1.")}
    with pytest.raises(ValueError, match=r"ICEdit X2 Adapter: 3 of 14 layers of the file are not in this model"):
        ours.attach(case.load(half))


def test_experts_are_not_lost_without_a_word(ours, model):
    adapted = ours.attach(model, name="x2edit.safetensors")
    assert [name for name, _ in ours.routings(adapted)] == ["x2edit.safetensors"]
    with pytest.raises(ValueError, match=r"ICEdit X2 Adapter: x2edit\.safetensors has experts.*before ICEdit X2 Adap"):
        adapted.state_dict_for_saving()
