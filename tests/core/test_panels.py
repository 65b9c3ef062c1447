"""The halves of a diptych and FLUX's row of tokens."""

import pytest
import torch

from icedit_core.panels import Tokens, image_ids, left, pack, right, right_alone, unpack


def test_the_halves_are_views_and_make_up_the_whole():
    diptych = torch.arange(24.0).view(1, 1, 2, 12)
    assert torch.equal(torch.cat([left(diptych), right(diptych)], -1), diptych)
    right(diptych).fill_(7)
    assert (diptych[..., 6:] == 7).all() and (diptych[..., :6] != 7).any()


@pytest.mark.parametrize(
    ("columns", "width", "expected"),
    [((3,), 4, True), ((2, 3), 4, True), ((1, 3), 4, False), ((), 4, False), ((4,), 5, False)],
)
def test_a_mask_of_the_right_half_alone(columns: tuple[int, ...], width: int, expected: bool):
    mask = torch.zeros(1, 3, width)
    mask[:, 1, list(columns)] = 1
    assert right_alone(mask) is expected


def test_packing_is_fluxs_and_unpacking_its_inverse():
    latent = torch.randn(2, 16, 6, 8)
    by_hand = latent.view(2, 16, 3, 2, 4, 2).permute(0, 2, 4, 1, 3, 5).reshape(2, 12, 64)  # as the published pipeline
    assert torch.equal(pack(latent), by_hand)
    assert torch.equal(unpack(pack(latent), 6, 8), latent)
    assert image_ids(4, 6).tolist() == [[0, row, column] for row in range(2) for column in range(3)]


@pytest.mark.parametrize(
    ("module", "length", "expected"),
    [
        ("double_blocks.0.img_mlp.2", 10, slice(0, 6)),
        ("double_blocks.0.txt_mlp.2", 10, None),  # as many tokens of text as of the image
        ("double_blocks.0.txt_mlp.2", 7, None),
        ("single_blocks.0.linear2", 17, slice(7, 13)),
        ("single_blocks.0.modulation.lin", 0, None),
    ],
)
def test_where_the_images_tokens_stand(module: str, length: int, expected: slice | None):
    assert Tokens(text=7, image=10, grid=(2, 3)).of_image(module, length) == expected
