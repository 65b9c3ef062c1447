"""What the bench keep-turns counts, and that its chains keep what they promise."""

import pytest
import torch

from devtools.bench import any_editor, keep_turns
from devtools.bench.keep_turns import CHAINS, Turn
from tests.core.test_registration import drawn


@pytest.fixture(scope="module")
def chains():
    """Every chain on one drawn picture, decoded by JPEG."""
    source, *others = (any_editor.eight_bit(drawn(seed)) for seed in range(3, 9))
    return source, {name: keep_turns.chain(name, 0, source, others, any_editor.jpeg) for name in CHAINS}


def test_no_pixel_outside_the_masks_differs(chains):
    source, turns = chains
    for image, outside, _, made in turns["kept, masks"]:
        assert torch.equal(image[outside], source[outside]) and made > 0.95
    assert 0.4 < turns["kept, masks"][-1].outside.float().mean() < 0.95


def test_without_masks_little_wears_out_and_edits_are_made(chains):
    source, turns = chains
    plain, kept, coded = (keep_turns.counted(source, turns[name]) for name in CHAINS[:3])
    assert plain[-1]["differ"] > 0.5
    for chain in (kept, coded):
        assert chain[0]["differ"] <= keep_turns.BARS[1] and chain[-1]["differ"] <= keep_turns.BARS[5]
        assert sum(turn["made"] for turn in chain) > 0.85 * len(chain)  # a faint removal is found in part


def test_counted():
    source = torch.zeros(4, 8, 3)
    image, once = source.clone(), torch.full((4, 8), 6 / 255)
    image[0, :, 1] = 3 / 255
    outside = torch.ones(4, 8, dtype=torch.bool)
    outside[:, :4] = False
    (found,) = keep_turns.counted(source, [Turn(image, outside, once, 1.0)])
    assert found == {"made": 1.0, "outside": 0.5, "differ": 0.25, "off": 3, "once": pytest.approx(6)}


def test_the_page_says_mean_and_largest():
    turn = {"made": 1.0, "outside": 0.5, "differ": 0.02, "off": 3.0, "once": 6.0}
    page = keep_turns.page({"kept": [[turn] * 5, [turn | {"differ": 0.04}] * 5]}, "JPEG", "a machine")
    assert "| kept | 5 | 3.00% | 4.00% | 3.0 | 6.0 | 100.0% |" in page
