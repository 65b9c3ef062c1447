"""A recorder, an injector and the experts on one model: each in its order, and gone with its clone."""

import pytest
import torch
from torch import nn

from . import flux_case as case
from .condition_case import LAYERS

MODULE = next(iter(LAYERS.values()))


@pytest.fixture(scope="module")
def ours(pack):
    from icedit_pack.icedit_core.adapters import attach
    from icedit_pack.nodes.host import taps

    def put(model, key, forward, bank=()):
        """A clone on which `forward(bank, previous)` makes the layer's forward."""
        clone = model.clone()
        taps.put(clone, key, nn.ModuleList(bank), lambda own: attach.Overrides({MODULE: lambda p: forward(own, p)}))
        return clone

    return put


@pytest.fixture
def model(pack):
    return case.load(case.weights())


def test_a_recorder_changes_nothing_and_sees_what_passes(ours, model):
    untouched, tapped = case.evaluate(model, [MODULE])
    seen = []

    def recording(_bank, previous):
        def forward(x):
            y = previous(x)
            seen.append((x.clone(), y.clone()))
            return y

        return forward

    watched = ours(model, "recorder", recording)
    assert torch.equal(case.evaluate(watched)[0], untouched)
    ((x, y),) = seen
    assert torch.equal(x, tapped[MODULE][0]) and torch.equal(y, tapped[MODULE][1])
    assert torch.equal(case.evaluate(model)[0], untouched) and len(seen) == 1


def test_an_injector_replaces_and_its_bank_belongs_to_the_host(ours, model):
    untouched, tapped = case.evaluate(model, [MODULE])
    stand_in = nn.Linear(tapped[MODULE][0].shape[-1], tapped[MODULE][1].shape[-1])
    injected = ours(model, "injector", lambda bank, _previous: lambda x: bank[0](x).detach(), [stand_in])
    replaced, now = case.evaluate(injected, [MODULE])
    assert torch.equal(now[MODULE][1], stand_in(now[MODULE][0])) and not torch.equal(replaced, untouched)
    (patcher,) = injected.get_additional_models()
    assert patcher.model[0] is stand_in and patcher.model_size() > 0
    assert torch.equal(case.evaluate(model)[0], untouched)


def test_taps_nest_in_the_order_they_were_put(ours, model):
    twice = ours(ours(model, "a", lambda _, p: lambda x: p(x) + 1), "b", lambda _, p: lambda x: p(x) * 3)
    x, y = case.evaluate(model, [MODULE])[1][MODULE]
    seen, nested = case.evaluate(twice, [MODULE])[1][MODULE]
    torch.testing.assert_close(seen, x)
    torch.testing.assert_close(nested, 3 * (y + 1))


def test_an_exception_takes_every_tap_off(ours, model):
    untouched, _ = case.evaluate(model)
    tapped = ours(model, "a", lambda _, p: lambda x: p(x) + 1)
    with pytest.raises(RuntimeError, match="in the middle"):
        case.evaluate(tapped, fail=True)
    assert torch.equal(case.evaluate(model)[0], untouched)
    assert "forward" not in vars(model.model.diffusion_model.get_submodule(MODULE))
