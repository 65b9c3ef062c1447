"""The map of experts: each token in its expert's colour, in words as well, and routers that notice nothing."""

import pytest
import torch
import torch.nn.functional as F

from icedit_core import expert_map as core
from icedit_core.adapters.moe import MoELoRA
from icedit_core.adapters.watch import watched
from icedit_core.adapters.weights import LowRank, Routed

from ..rounding import assert_rounded


def picked(height, width, experts=4, seed=0):
    """Top-1 gates (h, w, experts), and the expert of each token."""
    index = torch.randint(experts, (height, width), generator=torch.Generator().manual_seed(seed))
    return F.one_hot(index, experts).float(), index


def adapter(name="moe", count=5, experts=4):
    layers = [
        core.Layer(f"{kind}_blocks.{i}.{part}", picked(4, 8, experts, i)[0])
        for kind, part, numbers in (("double", "img_mlp.2", range(2)), ("single", "linear2", range(count - 2)))
        for i in numbers
    ]
    return core.Adapter(name, tuple(layers))


def layer(experts=3, wide=6, out=5, top_k=1):
    draw = torch.Generator().manual_seed(3)
    pairs = tuple(
        LowRank(torch.randn(2, wide, generator=draw), torch.randn(out, 2, generator=draw), None) for _ in range(experts)
    )
    return MoELoRA(Routed(torch.randn(experts, wide, generator=draw), pairs), top_k)


def test_a_token_is_a_square_in_its_experts_colour():
    gates, index = picked(4, 8)
    painted = core.one_map(gates, 80)
    assert painted.shape == (40, 80, 3)
    expected = core.colours(4)[index].repeat_interleave(10, 0).repeat_interleave(10, 1)
    assert torch.allclose(painted, expected)


def test_several_experts_mix_as_their_gates_do():
    gates = torch.tensor([[[0.5, 0.25, 0.0], [0.0, 0.0, 0.3]]])  # gates may sum to less than 1
    painted, palette = core.one_map(gates, 2), core.colours(3)
    assert torch.allclose(painted[0, 0], palette[0] * 2 / 3 + palette[1] / 3)
    assert torch.allclose(painted[0, 1], palette[2])


def test_the_picture_shines_through_in_grey():
    gates, _ = picked(4, 8)
    black, white = (core.one_map(gates, 80, torch.full((64, 128, 3), value)) for value in (0.0, 1.0))
    assert torch.allclose(white - black, torch.full_like(white, 1 - core.TINT), atol=1e-6)


def test_what_is_repainted_is_outlined_unless_it_is_everything():
    gates, _ = picked(4, 8)
    part = torch.zeros(4, 8, dtype=torch.bool)
    part[:, 4:] = True
    plain, outlined = core.one_map(gates, 80), core.one_map(gates, 80, repainted=part)
    white = (outlined == 1).all(-1)
    assert white[:, 40].all() and white[:, -1].all() and white[0, 40:].all() and white[-1, 40:].all()
    assert torch.equal(outlined[1:-1, 41:-1], plain[1:-1, 41:-1]) and torch.equal(outlined[:, :40], plain[:, :40])
    assert torch.equal(core.one_map(gates, 80, repainted=torch.ones_like(part)), plain)


@pytest.mark.parametrize("count", [1, 4, 8, 12, 24])
def test_colours_differ(count):
    found = core.colours(count)
    assert found.shape == (count, 3) and found.min() >= 0 and found.max() <= 1
    assert len({tuple((one * 255).round().int().tolist()) for one in found}) == count


def test_the_sheet_holds_every_map_and_every_colour_of_the_legend():
    shown = [adapter("first"), adapter("second", 57, 12)]
    made = core.sheet(shown, "sigma 0.7, seed 0")
    assert made.shape[0] == 1 and made.shape[-1] == 3 and made.min() >= 0 and made.max() <= 1
    pixels = (made[0] * 255).round().int()
    for one in shown:
        experts = one.layers[0].gates.shape[-1]
        for colour in (core.colours(experts) * 255).int():
            assert ((pixels - colour).abs().amax(-1) <= 1).sum() > 100
    height, width = pixels.shape[:2]
    assert 0.5 < height / width < 2, "many maps are laid out about square"


def test_one_map_alone_is_large():
    small, large = core.sheet([adapter()], "t"), core.sheet(core.choose([adapter()], "one", 3), "t")
    assert large.shape[2] >= core.LARGE and small.shape[2] < core.LARGE


@pytest.mark.parametrize(
    ("blocks", "number", "expected"),
    [
        ("all", 0, ["double 0: img_mlp.2", "double 1: img_mlp.2", "single 0: linear2", "single 1: linear2"]),
        ("double", 9, ["double 0: img_mlp.2", "double 1: img_mlp.2"]),
        ("single", 9, ["single 0: linear2", "single 1: linear2"]),
        ("one", 2, ["single 0: linear2"]),
    ],
)
def test_layers_are_chosen(blocks, number, expected):
    (chosen,) = core.choose([adapter(count=4)], blocks, number)
    assert [layer.title for layer in chosen.layers] == expected


def test_a_layer_that_is_not_there_is_named_with_what_there_is():
    with pytest.raises(ValueError, match=r"block 5, but .* moe has 5\. Choose 'all'"):
        core.choose([adapter()], "one", 5)
    only_double = core.Adapter("few", adapter().layers[:2])
    with pytest.raises(ValueError, match=r"blocks 'single', but .* few has 2"):
        core.choose([only_double], "single")


def test_the_report_counts_tokens():
    gates = F.one_hot(torch.tensor([[0, 0, 1, 1], [0, 2, 1, 1]]), 4).float()
    shown = [core.Adapter("moe", (core.Layer("double_blocks.3.img_mlp.2", gates),))]
    right = torch.tensor([[False, False, True, True]] * 2)
    assert core.report(shown).splitlines()[1:] == ["  all layers: 38 50 12 0", "  double 3: img_mlp.2: 38 50 12 0"]
    assert core.report(shown, right).endswith("(repainted 0 100 0 0; kept 75 0 25 0)")
    assert core.report(shown, torch.ones(2, 4, dtype=torch.bool)) == core.report(shown)
    assert core.summary(shown) == "moe: 1 layers; experts 0, 1, ...: 38 50 12 0 %"


@pytest.mark.parametrize("top_k", [1, 2])
def test_a_watched_layer_gives_the_same_bits_and_is_as_before_afterwards(top_k):
    moe, x = layer(top_k=top_k), torch.randn(2, 7, 6)
    before, gating = moe(x), moe.gating
    with watched([moe]) as seen:
        assert torch.equal(moe(x), before)
        moe(x[:1])
    assert moe.gating is gating and [tuple(one.shape) for one in seen[moe]] == [(2, 7, 3), (1, 7, 3)]
    assert_rounded(seen[moe][0], gating(moe.logits(x), top_k))  # logits alone are another product than in the layer
    moe(x)
    assert len(seen[moe]) == 2, "nothing is kept once nobody watches"


def test_an_exception_leaves_the_layer_as_it_was():
    moe = layer()
    gating = moe.gating
    with pytest.raises(RuntimeError, match="cancelled"), watched([moe]):
        raise RuntimeError("cancelled")
    assert moe.gating is gating
