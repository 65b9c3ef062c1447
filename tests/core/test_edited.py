"""Edited patches told from what an unknown editor merely painted again."""

import pytest
import torch

from icedit_core.edited import edited, unclipped, whole
from tests import change_cases as cc
from tests.core.test_registration import drawn

BOX = (slice(60, 130), slice(90, 170))


def painted_again(image, sigma, seed=0):
    """A softer picture whose busy places differ more than its flat ones, as editors give it back."""
    soft = cc.soft_codec(image[None], sigma=sigma, noise=0.0)[0]
    rough = (image - soft).abs().mean(-1, keepdim=True)
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return (soft + (0.004 + 0.3 * rough) * noise).clamp(0, 1)


@pytest.mark.parametrize("sigma", [0.5, 0.8, 1.2])
def test_an_edit_is_found_and_softer_texture_is_none(sigma):
    source = drawn(1)
    target = source.clone()
    target[BOX] = drawn(100)[BOX]
    assert edited(source, painted_again(source, sigma)).mean() < 0.001
    found = edited(source, painted_again(target, sigma))
    truth = (target - source).abs().amax(-1) > 0.1
    assert found[truth].mean() > 0.97
    outside = torch.ones_like(truth)
    outside[BOX[0].start - 6 : BOX[0].stop + 6, BOX[1].start - 6 : BOX[1].stop + 6] = False
    assert found[outside].mean() < 0.002


def test_a_large_edit_does_not_hide_itself():
    source = drawn(2)
    target = source.clone()
    target[:150] = drawn(101)[:150]  # 78 %
    found = edited(source, painted_again(target, 0.5))
    assert found[:150][(target - source).abs().amax(-1)[:150] > 0.1].mean() > 0.9
    assert found[160:].mean() < 0.02


def test_threshold_is_a_factor_on_what_counts():
    source = drawn(3)
    target = source.clone()
    target[BOX] = (target[BOX] + 0.12).clamp(0, 1)
    shares = [float(edited(source, target, threshold)[BOX].mean()) for threshold in (0.5, 1.0, 4.0)]
    assert shares[0] > 0.9 and shares[1] > 0.9 and shares[2] == 0


def test_a_faint_gap_in_an_edit_is_filled_where_its_difference_has_one_sign():
    grain = torch.rand(drawn(6).shape[:2], generator=torch.Generator().manual_seed(5)) - 0.5
    source = (0.8 * drawn(6) + 0.1 + 0.1 * grain[..., None]).clamp(0, 1)
    target, gap = source.clone(), (slice(89, 101), slice(90, 170))
    target[BOX] = drawn(102)[BOX]
    target[gap] = source[gap]
    untouched = edited(source, painted_again(target, 0.8))[gap].mean()
    target[gap] = (source[gap] - 0.06).clamp(0, 1)  # hardly more than the grain that the editor lost
    found = edited(source, painted_again(target, 0.8))
    assert untouched < 0.25 and found[gap].mean() > 0.8
    assert found[:, BOX[1].stop + 6 :].mean() < 0.002


def test_what_the_autoencoder_loses_is_no_edit():
    source = drawn(4)
    lossy = source.clone()
    lossy[BOX] = (lossy[BOX] + 0.2).clamp(0, 1)
    assert edited(source, lossy)[BOX].mean() > 0.9
    assert edited(source, lossy, coded=lossy).sum() == 0


def test_clipped_values_stand_for_anything_beyond():
    source = torch.tensor([0.99, 0.5, 0.02])
    edit, matched = torch.tensor([1.0, 0.5, 0.0]), torch.tensor([0.9, 0.52, 0.1])
    assert torch.equal(unclipped(source, edit, matched), torch.tensor([0.99, 0.52, 0.02]))
    assert unclipped(torch.tensor(0.2), torch.tensor(1.0), torch.tensor(0.9)) == 0.9  # a white thing on dark ground


@pytest.mark.parametrize(
    ("edited_columns", "busy_columns", "expected"),
    [(192, 256, False), (192, 190, True), (160, 150, False), (240, 256, True), (0, 256, False)],
)
def test_an_edit_that_leaves_flat_places_alone_is_of_the_whole_picture(edited_columns, busy_columns, expected):
    source = drawn(5)
    source[:, busy_columns:] = 0.2
    mask = torch.zeros(source.shape[:2])
    mask[:, :edited_columns] = 1
    assert whole(source, mask) is expected


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (5, 3), (17, 400)])
def test_any_size_and_equal_pictures(size):
    source, edit = torch.rand(*size, 3), torch.rand(*size, 3)
    assert edited(source, edit).shape == size
    assert edited(source, source.clone()).sum() == 0
