"""Pictures for a person: the right size, only what the mask covers is marked, and nothing thin is lost."""

import pytest
import torch

from icedit_core import seeing
from icedit_core.diptych import compose


def noise(width, height, count=1, channels=3):
    return torch.rand(count, height, width, channels, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((128, 64), (512, 256)),
        ((300, 200), (600, 400)),
        ((512, 512), (512, 512)),
        ((1024, 400), (1024, 400)),
        ((4096, 1024), (1024, 256)),
        ((3000, 1), (1024, 1)),
        ((1, 1), (512, 512)),
    ],
)
def test_size_of_what_is_shown(size, expected):
    assert seeing.shown_size(size) == expected
    width, height = size
    pictures, layer = seeing.shown(noise(*size)), seeing.outline(torch.ones(1, height, width))
    assert pictures.shape == (1, expected[1], expected[0], 3) and layer.shape == (1, expected[1], expected[0], 4)
    assert pictures.dtype == layer.dtype == torch.float32


def test_a_small_picture_keeps_its_pixels_and_its_alpha():
    source = noise(128, 64, channels=4)
    assert torch.equal(seeing.shown(source)[:, ::4, ::4], source)
    assert torch.equal(seeing.shown(source)[:, 3::4, 3::4], source)


def test_a_long_batch_is_cut_and_half_precision_is_taken():
    pictures = seeing.shaded(noise(32, 16, 20).half(), torch.ones(20, 16, 32))
    assert pictures.shape == (seeing.MOST, 256, 512, 3) and pictures.dtype == torch.float32


def test_the_right_panel_is_shaded_and_the_left_is_not():
    made = compose(noise(96, 64), 64)
    plain, shaded = seeing.shown(made.diptych), seeing.shaded(made.diptych, made.mask)
    half = plain.shape[2] // 2
    changed = (plain != shaded).any(-1)[0]
    assert changed[:, half:].all()
    assert not changed[:, : half - 1].any(), "only the line's dark rim may lie beside the panel"
    assert shaded.min() >= 0 and shaded.max() <= 1


def test_without_anything_to_repaint_the_picture_is_plain():
    source = noise(64, 32)
    assert torch.equal(seeing.shaded(source, torch.zeros(1, 32, 64)), seeing.shown(source))


def test_the_outline_follows_the_border_of_the_region():
    mask = torch.zeros(1, 512, 512)
    mask[:, 100:200, 150:300] = 0.01  # feathered or not, it is not the original's
    alpha = seeing.outline(mask)[0, ..., 3]
    assert (alpha[100:200, 150] == 1).all() and (alpha[100, 150:300] == 1).all()
    assert (alpha[199, 150:300] == 1).all() and (alpha[100:200, 299] == 1).all()
    assert not alpha[110:190, 160:290].any(), "the inside stays free"
    assert not alpha[:98].any() and not alpha[:, 303:].any()


def test_a_region_at_the_picture_s_edge_is_closed():
    alpha = seeing.outline(torch.ones(1, 512, 512))[0, ..., 3]
    assert all((side == 1).all() for side in (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]))
    assert not alpha[10:-10, 10:-10].any()


def test_a_single_pixel_of_a_large_picture_is_seen():
    mask = torch.zeros(2, 3000, 4000)
    mask[0, 1234, 2345] = 1
    layer = seeing.outline(mask)
    assert layer[0, ..., 3].max() == 1 and not layer[1].any()
    row, column = (int(found) for found in (layer[0, ..., 3] == 1).nonzero().float().mean(0))
    assert abs(row - 1234 * 768 / 3000) < 3 and abs(column - 2345 * 1024 / 4000) < 3
