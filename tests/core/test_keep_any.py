"""The synthetic editor of the bench keep-any, and what the bench counts."""

import pytest
import torch

from devtools.bench import any_editor, keep_any
from icedit_core.registration import Registration, align

HEIGHT, WIDTH = 160, 240


@pytest.fixture(scope="module")
def pictures():
    """Two smooth pictures, of which resampling loses nothing."""
    y, x = torch.arange(HEIGHT)[:, None] / 40, torch.arange(WIDTH) / 50
    waves = [torch.sin(y * a + x * b + c) for a, b, c in ((1, 2, 0), (2, -1, 1), (-1, 1, 2))]
    source = ((0.5 + 0.25 * torch.stack(waves, dim=-1)) * 255).round() / 255
    return source, source.flip(1, 2)


@pytest.mark.parametrize("seed", range(0, 16, 3))
def test_the_editor_edits_a_part_and_says_where_the_source_lies(pictures, seed):
    made = any_editor.make(seed, *pictures, codec=lambda image: image)
    changed = (made.target != made.source).any(-1)
    assert 0.001 < changed.float().mean() < 0.25
    truth = Registration(*made.scale[::-1], *made.shift[::-1], tuple(made.edit.shape[:2]), None, True, "")
    assert made.misplaced(truth) == 0
    aligned, coverage = align(made.edit, truth, (HEIGHT, WIDTH))
    where = (coverage > 0) & ~changed
    correlations = [torch.corrcoef(torch.stack([aligned[where][:, i], made.source[where][:, i]])) for i in range(3)]
    assert min(c[0, 1] for c in correlations) > 0.99
    again = any_editor.make(seed, *pictures, codec=lambda image: image)
    assert torch.equal(made.edit, again.edit)


def test_misplaced_is_in_pixels_of_the_source(pictures):
    made = any_editor.make(0, *pictures, codec=lambda image: image)
    off = Registration(*made.scale[::-1], made.shift[1] + 3, made.shift[0] - 4, (1, 1), None, True, "")
    assert made.misplaced(off) == pytest.approx(5)


def test_counted(pictures):
    made = any_editor.make(0, *pictures, codec=lambda image: image)
    assert keep_any.counted(made, made.target) == {"kept": 1, "recall": pytest.approx(1, abs=0.01), "ring": 0}
    assert keep_any.counted(made, made.source)["recall"] == 0
    off = keep_any.counted(made, (made.target + 10 / 255).clamp(0, 1))
    assert off["kept"] == 0 and off["ring"] == pytest.approx(10, abs=0.1)
