"""The MoE layer's gradients: against finite differences, who gets one, and what the straight-through gates change."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.func import functional_call

from icedit_core.adapters.moe import MoELoRA, top_k_gates
from icedit_core.adapters.weights import LowRank, Routed
from icedit_core.training.gates import Watched, balance, straight_through_gates

EXPERTS, RANK, WIDE, OUT = 4, 2, 6, 5


def layer_of(top_k, gating=top_k_gates, dtype=torch.float64, seed=0):
    draw = torch.Generator().manual_seed(seed)
    pairs = tuple(
        LowRank(torch.randn(RANK, WIDE, generator=draw), torch.randn(OUT, RANK, generator=draw)) for _ in range(EXPERTS)
    )
    routed = Routed(torch.randn(EXPERTS, WIDE, generator=draw), pairs)
    return MoELoRA(routed, top_k, dtype, gating).requires_grad_()


def tokens(*shape, seed=1):
    return torch.randn(*shape, WIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def backward(layer, x, goal=0.0):
    (layer(x) - goal).square().sum().backward()
    router, down = layer.inner.grad.t().tensor_split([EXPERTS])
    return router, down.unflatten(0, (EXPERTS, RANK)), layer.outer.grad.unflatten(0, (EXPERTS, RANK))


@pytest.mark.parametrize("top_k", [1, 2, 3, 4])
def test_layer_against_finite_differences(top_k):
    layer, x = layer_of(top_k), tokens(2, 3).requires_grad_()
    assert gradcheck(lambda x, *_: layer(x, 0.7), (x, *layer.parameters()))
    y = torch.randn(2, 3, OUT, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, y, *_: layer.add_to(y.clone(), x, 0.7), (x, y, *layer.parameters()))


def test_straight_through_with_all_experts_is_the_published_function():
    layer, x = layer_of(EXPERTS, straight_through_gates), tokens(2, 3).requires_grad_()
    assert gradcheck(lambda x, *_: layer(x), (x, *layer.parameters()))


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_straight_through_is_the_gradient_of_the_kept_probabilities(top_k):
    """Around one point the gates are g + keep * (p - p there): a true function, so finite differences can check it."""
    x = tokens(2, 3).requires_grad_()
    layer = layer_of(top_k, straight_through_gates)
    there = layer.logits(x).detach()
    gates, probabilities = top_k_gates(there, top_k), there.softmax(-1)

    def around_this_point(logits, _):
        return gates + (gates > 0) * (logits.softmax(-1) - probabilities)

    reference = layer_of(top_k, around_this_point)
    assert gradcheck(lambda x, *_: reference(x), (x, *reference.parameters()))
    ours = torch.autograd.grad(layer(x).square().sum(), (x, *layer.parameters()))
    theirs = torch.autograd.grad(reference(x).square().sum(), (x, *reference.parameters()))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_straight_through_has_the_published_values_bit_for_bit(dtype, top_k):
    logits = (3 * torch.randn(2000, EXPERTS)).to(dtype)
    gates = straight_through_gates(logits.requires_grad_(), top_k)
    assert torch.equal(gates, top_k_gates(logits, top_k))
    assert top_k > 1 or set(gates.flatten().tolist()) == {0.0, 1.0}


def tokens_of_one_expert(layer, expert, count=30):
    """Tokens whose best expert this is."""
    x = tokens(4000)
    return x[layer.logits(x).argmax(-1) == expert][:count]


def test_published_top_1_gives_the_router_exactly_nothing_and_the_others_nothing():
    layer = layer_of(1)
    router, down, up = backward(layer, tokens_of_one_expert(layer, 2))
    assert torch.equal(router, torch.zeros_like(router))
    for part in (down, up):
        assert [bool(grad.any()) for grad in part] == [False, False, True, False]


def test_published_top_2_reaches_the_router_through_the_kept_experts_only():
    layer = layer_of(2)
    x = tokens(4000)
    pairs = layer.logits(x).topk(2).indices.sort().values
    x = x[(pairs == torch.tensor([0, 3])).all(-1)][:30]
    router, down, up = backward(layer, x)
    for part in (router, down, up):
        assert [bool(grad.any()) for grad in part] == [True, False, False, True]
    torch.testing.assert_close(router.sum(0), torch.zeros(WIDE, dtype=torch.float64), atol=1e-9, rtol=0)


def test_straight_through_top_1_reaches_the_whole_router_and_one_expert():
    layer = layer_of(1, straight_through_gates)
    router, down, up = backward(layer, tokens_of_one_expert(layer, 2))
    assert all(row.any() for row in router)
    for part in (down, up):
        assert [bool(grad.any()) for grad in part] == [False, False, True, False]


def with_a_router_of_its_own(layer):
    """The router as a parameter of its own, and the layer run with it: so it can learn while the experts stay."""
    router = layer.router.detach().clone().requires_grad_()

    def run(x):
        return functional_call(layer, {"inner": torch.cat([router, layer.down.detach()]).t()}, (x,))

    return router, run


def learn_to_route(gating, steps=200):
    """Expert 0 says +1, expert 1 says -1; each of two tokens is sent to the wrong one. Only the router learns."""
    ones = torch.ones(1, 2)
    experts = (LowRank(ones, torch.ones(1, 1)), LowRank(ones, -torch.ones(1, 1)))
    layer = MoELoRA(Routed(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), experts), 1, gating=gating)
    router, run = with_a_router_of_its_own(layer)
    optimiser = torch.optim.AdamW([router], lr=0.02, weight_decay=0.5)
    x, goal = torch.eye(2), torch.tensor([[1.0], [-1.0]])
    for _ in range(steps):
        optimiser.zero_grad()
        loss = (run(x) - goal).square().mean()
        loss.backward()
        optimiser.step()
    return float(loss.detach()), router.detach()


def test_at_top_1_only_the_straight_through_router_learns():
    assert learn_to_route(straight_through_gates)[0] == 0
    loss, router = learn_to_route(top_k_gates)
    assert loss == 4
    torch.testing.assert_close(router, torch.tensor([[0.0, 1.0], [1.0, 0.0]]) * (1 - 0.02 * 0.5) ** 200)


def test_balance_is_one_when_even_and_the_number_of_experts_when_one_has_all():
    even, kept = torch.full((EXPERTS,), 0.25), torch.full((EXPERTS,), 10)
    torch.testing.assert_close(balance(even, kept), torch.tensor(1.0))
    torch.testing.assert_close(balance(torch.eye(EXPERTS)[1], 40 * torch.eye(EXPERTS).long()[1]), torch.tensor(4.0))


@pytest.mark.parametrize("top_k", [1, 2])
def test_watched_gates_see_what_the_equation_says(top_k):
    logits = torch.randn(3, 7, EXPERTS, requires_grad=True)
    watched = Watched(straight_through_gates, differentiable=True)
    assert torch.equal(watched(logits, top_k), top_k_gates(logits, top_k))
    probabilities, kept = watched.take()
    assert watched.take() is None
    rows = logits.detach().reshape(-1, EXPERTS)
    counts = [sum(expert in row.argsort(descending=True)[:top_k] for row in rows) for expert in range(EXPERTS)]
    assert kept.tolist() == counts
    mean = torch.stack([row.exp() / row.exp().sum() for row in rows]).mean(0)
    torch.testing.assert_close(probabilities.detach(), mean)
    expected = EXPERTS * sum(mean[i] * counts[i] / sum(counts) for i in range(EXPERTS))
    torch.testing.assert_close(balance(probabilities, kept).detach(), expected)


@pytest.mark.parametrize("gating", [top_k_gates, straight_through_gates])
def test_balance_spreads_the_tokens_of_a_router_that_sends_all_to_one(gating):
    layer = layer_of(1, Watched(gating, differentiable=True), torch.float32)
    x = tokens(200).float() + 1
    with torch.no_grad():
        layer.router[0] = 3
    router, run = with_a_router_of_its_own(layer)
    optimiser = torch.optim.Adam([router], lr=0.05)
    shares = []
    for _ in range(200):
        optimiser.zero_grad()
        run(x)
        probabilities, kept = layer.gating.take()
        balance(probabilities, kept).backward()
        optimiser.step()
        shares.append(float(kept.max() / kept.sum()))
    assert shares[0] > 0.9 and shares[-1] < 0.5
