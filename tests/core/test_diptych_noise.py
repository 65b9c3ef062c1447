"""A diptych from noise without a model: its recursion in equations, and which tokens the source's values go to."""

import pytest
import torch

from icedit_core.inversion import Plan
from icedit_core.inversion.diptych import WHO, paint
from icedit_core.inversion.values import SINGLE, Values
from icedit_core.panels import image_ids, left_tokens
from tests.rounding import assert_equation

SIGMAS = torch.tensor([1.0, 0.7, 0.3, 0.0], dtype=torch.float64)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


CLEAN, NOISE = drawn(1, 2, 2, 3, seed=1), drawn(1, 2, 2, 3, seed=2)


class Field:
    """The panel goes one way, the diptych another in which its halves read each other."""

    ahead = False

    def __init__(self):
        self.by, self.seen = drawn(6, 6), []

    def source(self, x, sigma, key=None):
        return torch.tanh(x) + sigma

    def target(self, x, sigma, key=None):
        self.seen.append(x)
        return torch.tanh(x @ self.by) - sigma

    def holds(self, key):
        return True


def painted(lock=True, field=None):
    return paint(CLEAN, NOISE, field or Field(), Plan(SIGMAS, who=WHO), lambda x, x0: None, lock)


def by_hand(lock):
    field, path = Field(), [CLEAN]
    for i in (2, 1, 0):
        path.insert(0, path[0] + (SIGMAS[i] - SIGMAS[i + 1]) * field.source(path[0], SIGMAS[i]))
    x = torch.cat([path[0], NOISE], -1)
    for i in range(3):
        given = torch.cat([path[i + 1], x[..., 3:]], -1) if lock else x
        x = x + (SIGMAS[i + 1] - SIGMAS[i]) * field.target(given, SIGMAS[i])
    return x


def test_both_halves_are_denoised_as_one():
    assert_equation(painted(lock=False), by_hand(lock=False))
    assert_equation(painted()[..., 3:], by_hand(lock=True)[..., 3:])


def test_locked_the_left_half_is_the_source_itself():
    field = Field()
    assert torch.equal(painted(field=field)[..., :3], CLEAN)
    assert torch.equal(field.seen[-1][..., :3], CLEAN), "the last step sees it, too"
    assert torch.equal(field.seen[0][..., 3:], NOISE)
    assert not torch.allclose(painted(lock=False)[..., :3], CLEAN)


def test_a_panels_tokens_stand_where_the_diptychs_left_half_has_them():
    places = left_tokens(2, 3)
    assert places.tolist() == [0, 1, 2, 6, 7, 8]
    assert torch.equal(image_ids(4, 12)[places], image_ids(4, 6))


def hand(values, tensor, inject, text):
    values.begin((0, 0), inject)
    got = values.at((SINGLE, 0), tensor, (0,), text)
    values.end()
    return got


def test_the_sources_values_go_to_the_left_half_alone():
    places = left_tokens(2, 3)
    values = Values({(SINGLE, 0)}, "image", 1, "replay", lambda: 0, places, WHO)
    source, diptych = drawn(1, 4, 2 + 6, 5), drawn(1, 4, 7 + 12, 5, seed=1)
    hand(values, source, inject=False, text=2)
    got = hand(values, diptych, inject=True, text=7)
    assert torch.equal(got[:, :, 7 + places], source[:, :, 2:])
    others = [place for place in range(19) if place - 7 not in places]
    assert torch.equal(got[:, :, others], diptych[:, :, others]), "text and right half"
    own = torch.cat([source[:, :, :2], diptych[:, :, 7 + places]], 2)
    hand(values, own, inject=False, text=2)
    assert torch.equal(hand(values, diptych, inject=True, text=7), diptych), "its own values change nothing"


def test_a_panel_of_another_size_is_named_by_the_node_that_was_asked():
    values = Values({(SINGLE, 0)}, "image", 1, "replay", lambda: 0, left_tokens(2, 3), WHO)
    hand(values, drawn(1, 4, 2 + 5, 5), inject=False, text=2)
    with pytest.raises(ValueError, match="ICEdit Diptych From Noise: source and target have 5 and 6 image tokens"):
        hand(values, drawn(1, 4, 7 + 12, 5), inject=True, text=7)
