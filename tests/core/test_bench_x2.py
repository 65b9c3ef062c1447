"""The bench of X2Edit's experts compares ways that compute the same, and counts their multiplications."""

import pytest
import torch

from devtools.bench import x2_blocks, x2_page
from icedit_core.adapters.moe import MoELoRA

from ..rounding import assert_equation

WIDTH = 24


@pytest.mark.parametrize("reads_output", [False, True])
def test_gathered_tokens_give_the_numbers_of_our_layer(reads_output):
    draw = torch.Generator().manual_seed(3)
    routed = x2_blocks.random_routed(WIDTH, draw, torch.float64, reads_output)
    x, task = (torch.randn(*shape, WIDTH, generator=draw, dtype=torch.float64) for shape in ((2, 40), ()))
    expected = x2_blocks.by_gathering(x, routed, task)
    ours = MoELoRA(routed, x2_blocks.TOP_K, torch.float64, context=task)(x)
    assert_equation(ours, expected)
    assert (x2_blocks.by_gathering(x, routed, -task) - expected).norm() > 1e-3 * expected.norm()


def test_an_expert_that_nobody_chose_is_passed_over():
    draw = torch.Generator().manual_seed(3)
    routed = x2_blocks.random_routed(WIDTH, draw, torch.float64, False)
    x, task = torch.randn(1, 1, WIDTH, dtype=torch.float64), torch.zeros(WIDTH, dtype=torch.float64)
    layer = MoELoRA(routed, x2_blocks.TOP_K, torch.float64, context=task)
    assert_equation(layer(x), x2_blocks.by_gathering(x, routed, task))


def test_multiplications_are_counted_as_a_block_does_them():
    """19 double blocks with 4 layers on 8,192 tokens, 38 single ones with 3 on 8,704, each token by hand."""
    base = 57 * 8704 * (12 * 3072**2 + 2 * 8704 * 3072)
    for experts in (3, 13):
        layer = 12 * 3072 + 2 * experts * 64 * 3072
        assert x2_blocks.share(experts) == pytest.approx((19 * 4 * 8192 + 38 * 3 * 8704) * layer / base)
    assert 0.10 < x2_blocks.share(13) < 0.11 and 0.02 < x2_blocks.share(3) < 0.03


def measured(base, ours):
    machine = {"device": "a processor", "threads": 2, "cores": 2, "load_average": 2.0}
    seconds = {"base": base, "again": base, "ours": ours, "published": 2 * base}
    rows = {way: [[value, value, 0]] * 3 for way, value in seconds.items()}
    return {"seconds": rows, "peak_mib": dict.fromkeys(seconds, 5.0), "apart": 1e-6, "machine": machine}


def test_the_page_scales_one_block_of_each_kind():
    rows = {"double": measured(1.0, 1.2), "single": measured(2.0, 2.1)}
    whole = x2_page.whole(rows)
    assert whole["base"][0].clock == pytest.approx(19 + 38 * 2) and len(whole["ours"]) == 3
    assert whole["ours"][0].clock == pytest.approx(19 * 1.2 + 38 * 2.1)
    text = x2_page.page({f"{kind}/float32": row for kind, row in rows.items()}, ["align/float32"])
    assert "| 19 + 38 blocks, computed: ours | 102.60 s | +8.0 % (+8.0 .. +8.0) |" in text
    times = 8.0 / (100 * x2_blocks.share(13))
    assert f"Ours takes {times:.2f} times the share of its multiplications, within the 1.3 asked for." in text
    assert "Not run: align/float32." in text
    slow = {f"{kind}/float32": measured(1.0, 1.5) for kind in rows}
    assert "not within the 1.3" in x2_page.page(slow, [])
