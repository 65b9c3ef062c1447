"""The moe bench compares like with like, and its meters read what is there."""

import time

import pytest
import torch

from devtools.bench import moe_layers, moe_page, moe_timing

from ..rounding import assert_rounded

CPU = torch.device("cpu")
MIB = 1 << 18  # float32 numbers


@pytest.fixture(scope="module")
def blocks():
    with torch.no_grad():
        return moe_layers.BlockSet(moe_layers.Case(64, 32, torch.float32), CPU)


@torch.no_grad()
def test_ours_the_loop_and_moved_tokens_give_the_same_numbers(blocks):
    ways = blocks.layers()
    for name, x in blocks.inputs.items():
        base, expected = ways["base"](name, x), ways["loop"](name, x)
        for way in ("ours", "moved"):
            assert_rounded(ways[way](name, x), expected)
        assert torch.equal(base, expected) == (name not in blocks.routed)


@torch.no_grad()
def test_a_merged_lora_gives_the_numbers_of_peft(blocks):
    ways = blocks.layers()
    if "peft" not in ways:
        pytest.skip("peft is not installed")
    for name, x in blocks.inputs.items():
        base, merged = ways["base"](name, x), ways["merged"](name, x)
        assert_rounded(merged, ways["peft"](name, x))
        assert torch.equal(base, merged) == (name in moe_layers.WITHOUT_LORA)


def test_the_peak_is_what_is_alive_at_once():
    if moe_timing.resident_mib() is None:
        pytest.skip("the system does not say how much memory a process holds")

    def way():
        first = torch.ones(48 * MIB)
        second = first + 1
        del first
        return second + 1  # two of three at a time

    assert moe_timing.peak_mib(way, CPU) == pytest.approx(96, abs=3)


def test_kept_memory_is_not_asked_for_again():
    if not moe_timing.memory_can_be_kept():
        pytest.skip("the C library cannot be told to keep memory")

    def way():
        return float(torch.ones(64 * MIB).sum())

    with moe_timing.memory_kept():  # a few times: something small may have settled in the place where the block was
        kept = min(moe_timing.timed(way, CPU).faults for _ in range(8))
    given_back = moe_timing.timed(way, CPU).faults  # the first time: a block that two threads hem in stays afterwards
    assert kept < 10 < given_back  # 256 MiB are 128 pages even where they are huge


def test_rounds_are_compared_with_the_base_of_the_same_round():
    base = [moe_timing.Taken(1.0, 1.0, 0), moe_timing.Taken(9.0, 2.0, 0), moe_timing.Taken(1.0, 1.0, 0)]
    taken = [moe_timing.Taken(1.5, 1.1, 7), moe_timing.Taken(9.9, 2.2, 7), moe_timing.Taken(1.2, 1.1, 7)]
    figures = moe_timing.summary(taken, base)
    assert figures["clock_over_base_percent"] == pytest.approx(20)
    assert figures["work_over_base_percent"] == pytest.approx(10)
    assert (figures["median_ms"], figures["faults"]) == (1500, 7)
    assert "+20.0 % (+15.0 .. +35.0), work +10.0 %" in moe_page.line({"ways": {"ours": figures}})


def test_every_way_takes_its_turn_in_every_round():
    order = []
    ways = {name: lambda name=name: order.append(name) for name in "abcd"}
    taken = moe_timing.side_by_side(ways, 6, CPU)
    rounds = [order[i : i + 4] for i in range(0, 28, 4)]
    assert all(sorted(one) == list("abcd") for one in rounds) and len({tuple(one) for one in rounds}) > 3
    assert {len(one) for one in taken.values()} == {6}
    assert moe_timing.timed(lambda: time.sleep(0.02), CPU).clock >= 0.02
