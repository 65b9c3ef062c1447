"""The rule of tests/rounding.py passes what other processors showed, and no fault of the same size."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from .. import rounding

GOLDEN = Path(__file__).parents[1] / "fixtures" / "icedit_moe"

EPYC = {"trained adapter": 8.7e-6, "published output": 1.03e-5}  # seen against recordings that a Xeon with AMX made
BF16_UPDATE = 0.05  # the bound of tests/host/test_conditions_storage.py in bf16


def off_by(size, like, seed=0):
    """`like` with an error of relative size `size`."""
    noise = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return like.double() + size * noise * (like.double().norm() / noise.norm())


@pytest.fixture(scope="module")
def recorded():
    return load_file(GOLDEN / "io.safetensors")


@pytest.mark.parametrize("seen", EPYC.values(), ids=EPYC)
def test_what_an_epyc_showed_against_the_recordings_passes(recorded, seen):
    rounding.assert_rounded(off_by(seen, recorded["out_moe"]), recorded["out_moe"])


@pytest.mark.parametrize("base", [0.0, 3.4e-7, *EPYC.values()])
def test_a_fault_of_one_in_ten_thousand_fails_beside_every_base_seen(recorded, base):
    with pytest.raises(AssertionError, match="off by 1.0e-04"):
        rounding.assert_rounded(off_by(1e-4, recorded["out_moe"]), recorded["out_moe"], base)


def test_a_wrong_scale_and_a_left_out_adapter_fail(recorded):
    base, adapted = recorded["out_base"], recorded["out_moe"]
    for wrong in (base, base + 0.999 * (adapted - base)):
        with pytest.raises(AssertionError, match="off by"):
            rounding.assert_rounded(wrong, adapted)


def test_a_coarser_machine_is_measured_by_its_base_and_a_broken_base_by_nothing(recorded):
    adapted = recorded["out_moe"]
    rounding.assert_rounded(off_by(7e-5, adapted), adapted, base=4e-5)
    with pytest.raises(AssertionError, match=r"off by 9.0e-05, more than 8.0e-05"):
        rounding.assert_rounded(off_by(9e-5, adapted), adapted, base=4e-5)
    with pytest.raises(AssertionError, match="it is wrong, not rounded"):
        rounding.assert_rounded(adapted, adapted, base=4e-4)


def test_equations_are_compared_in_float64_alone():
    x = torch.randn(20, dtype=torch.float64)
    rounding.assert_equation(off_by(5e-10, x), x)
    with pytest.raises(AssertionError, match="off by 2.0e-09"):
        rounding.assert_equation(off_by(2e-9, x), x)
    with pytest.raises(AssertionError):
        rounding.assert_equation(x.float(), x.float())


def test_zeros_are_zeros_and_shapes_are_not_broadcast():
    zeros = torch.zeros(3, 4)
    rounding.assert_rounded(zeros, zeros)
    for wrong in (torch.full((3, 4), 1e-30), torch.full((3, 4), float("nan")), torch.zeros(4)):
        with pytest.raises(AssertionError):
            rounding.assert_rounded(wrong, zeros)
    with pytest.raises(AssertionError, match="off by nan"):
        rounding.assert_rounded(torch.full((4,), float("nan")), torch.ones(4))


def layer(recorded, name, draw):
    """A recorded layer's router, and updates by its best and second experts: (logits, expected, other)."""
    logits = recorded[f"{name}.logits"].flatten(0, -2)
    outputs = torch.randn(len(logits), 4, 128, generator=draw)
    first, second = logits.topk(2).indices.unbind(-1)
    rows = torch.arange(len(logits))
    return logits, outputs[rows, first], outputs[rows, second]


@pytest.mark.parametrize("name", ["transformer_blocks.0.ff.net.2", "single_transformer_blocks.0.proj_out"])
def test_one_near_tie_may_change_its_expert_and_no_other_token(recorded, name):
    logits, expected, other = layer(recorded, name, torch.Generator().manual_seed(1))
    ties = rounding.near_ties(logits, 1, torch.bfloat16)
    assert int(ties.sum()) == 1, "the recorded case has one in each layer"
    got = expected.clone()
    got[ties] = other[ties]
    assert 0.12 < rounding.error(got, expected) < 0.2, "as on the EPYC, where it was .148"
    found = rounding.compare_routed(got, expected, other, logits, 1, torch.bfloat16)
    assert found == rounding.Routed(0.0, ties=1, other=1)
    assert rounding.compare_routed(expected, expected, other, logits, 1, torch.bfloat16) == rounding.Routed(0.0, 1, 0)
    for clear in (~ties).nonzero().flatten():
        wrong = expected.clone()
        wrong[clear] = other[clear]
        assert rounding.compare_routed(wrong, expected, other, logits, 1, torch.bfloat16).error > BF16_UPDATE


def test_a_near_tie_has_one_of_its_two_answers_in_full(recorded):
    draw = torch.Generator().manual_seed(1)
    logits, expected, other = layer(recorded, "transformer_blocks.0.ff.net.2", draw)
    ties = rounding.near_ties(logits, 1, torch.bfloat16)
    for wrong in (torch.zeros(128), 2 * other[ties], (expected + other)[ties] / 2, torch.randn(128, generator=draw)):
        got = expected.clone()
        got[ties] = wrong
        assert rounding.compare_routed(got, expected, other, logits, 1, torch.bfloat16).error > BF16_UPDATE
    scaled = rounding.compare_routed(1.06 * expected, expected, other, logits, 1, torch.bfloat16)
    assert scaled.error > BF16_UPDATE


def test_ties_depend_on_the_type_and_on_the_last_pick():
    logits = torch.tensor([[1.0, 0.99, 0.5, 0.4], [1.0, 0.5, 0.495, 0.1], [1.0, 0.98, 0.5, 0.1]])
    assert rounding.near_ties(logits, 1, torch.bfloat16).tolist() == [True, False, False]
    assert rounding.near_ties(logits, 2, torch.bfloat16).tolist() == [False, True, False]
    assert not rounding.near_ties(logits, 1, torch.float32).any()
    assert not rounding.near_ties(logits, 4, torch.bfloat16).any()


def test_many_ties_are_no_comparison():
    logits, update = torch.zeros(8, 4), torch.ones(8, 3)
    with pytest.raises(AssertionError, match="8 of 8 tokens are near ties"):
        rounding.compare_routed(update, update, update, logits, 1, torch.bfloat16)
