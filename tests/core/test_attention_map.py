"""The attention map's arithmetic: places of words, shares of attention, masks."""

import pytest
import torch

from icedit_core import attention_map as core


def test_every_place_of_the_words():
    assert core.places([5, 7, 8, 5, 7, 9], [5, 7]) == [0, 1, 3, 4]
    for words in ([7, 5], []):
        with pytest.raises(ValueError, match="the words are not in the prompt"):
            core.places([5, 7, 8], words)


def test_shares_are_those_of_the_softmax_and_add_up():
    draw = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 3, 5, 8, generator=draw), torch.randn(2, 3, 9, 8, generator=draw)
    whole = (q @ k.transpose(2, 3) / 8**0.5).softmax(-1).mean(1)
    assert torch.allclose(core.share(q, k, [2, 4]), whole[..., [2, 4]].sum(-1), atol=1e-6)
    assert torch.allclose(core.share(q, k, range(9)), torch.ones(2, 5), atol=1e-6)


def test_masks_and_pictures():
    maps = torch.tensor([[[0.0, 0.1], [0.2, 0.4]]])
    mask = core.mask(maps, 32, 32)
    assert mask.shape == (1, 32, 32) and mask.max() == 1 and mask[0, 0, 0] == 0
    hard = core.mask(maps, 32, 32, 0.5)
    assert set(hard.unique().tolist()) == {0.0, 1.0} and 0 < hard.mean() < 0.5
    colours = core.picture(mask)
    assert colours.shape == (1, 32, 32, 3) and colours[0, -1, -1].sum() > colours[0, 0, 0].sum()
    over = core.picture(mask, torch.full((1, 32, 32, 3), 0.5))
    assert over.shape == colours.shape and 0 <= over.min() and over.max() <= 1
    assert torch.equal(core.mask(torch.zeros(1, 2, 2), 4, 4), torch.zeros(1, 4, 4))
