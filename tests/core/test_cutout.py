"""The border of an edit at the source's resolution: along the source's edges, and sharp on flat ground."""

import pytest
import torch
import torch.nn.functional as F

from icedit_core import cutout
from icedit_core.cutout import fit

SIDE, SCALE = 192, 3  # px, and px per panel px


def disc(x, y, radius):
    at = torch.arange(SIDE) + 0.5
    return ((at[None, :] - x) ** 2 + (at[:, None] - y) ** 2 <= radius**2).float()[None]


def painted(mask, colour, ground):
    return torch.where(mask[..., None] > 0, torch.tensor(colour), ground)


def panel(picture):
    """The picture as an enlarged panel shows it: blurred."""
    small = F.interpolate(picture.movedim(-1, 1), scale_factor=1 / SCALE, mode="bilinear", antialias=True)
    return F.interpolate(small, scale_factor=SCALE, mode="bicubic").clamp(0, 1).movedim(1, -1)


def found(mask, wider):
    """A change mask of the panel's resolution, `wider` px too wide, enlarged."""
    small = (F.avg_pool2d(mask[:, None], SCALE) > 0.4).float()
    small = F.max_pool2d(small, 2 * wider + 1, stride=1, padding=wider)
    return F.interpolate(small, scale_factor=SCALE, mode="bilinear")[:, 0]


GROUND = torch.full((1, SIDE, SIDE, 3), 0.2)
RED, BLUE = [0.9, 0.1, 0.1], [0.1, 0.2, 0.9]


def wrong(weight, source, target, right):
    """Share of the picture that is the same in source and target and visibly off in the result."""
    result = torch.lerp(source, right, weight[..., None])
    same = (source == target).all(-1)
    return float((same & ((result - target).abs().amax(-1) > 0.1)).float().mean())


@pytest.mark.parametrize("kind", ["recoloured", "removed", "added"])
def test_the_rim_goes_and_the_edit_stays(kind):
    shape = disc(96, 96, 40)
    source = GROUND if kind == "added" else painted(shape, RED, GROUND)
    target = {"recoloured": painted(shape, BLUE, GROUND), "removed": GROUND, "added": painted(shape, BLUE, GROUND)}[
        kind
    ]
    # A model paints half a pixel of the panel too large; the source's edges tell where there are some.
    larger = disc(96, 96, 40 + SCALE / 2) if kind == "recoloured" else shape
    right = panel(painted(larger, BLUE, GROUND) if kind != "removed" else target)
    weight = found(larger, wider=0 if kind == "recoloured" else 1)
    fitted = fit(weight, source, right, SCALE)
    assert not fitted[weight == 0].any()
    edited = (source - target).abs().amax(-1) > 0.06
    assert (fitted[edited] > 0).float().mean() > 0.99
    assert fitted[(shape > 0) & (disc(96, 96, 30) > 0)].min() == 1
    before, after = wrong(weight, source, target, right), wrong(fitted, source, target, right)
    assert after <= before / 2 if before > 0.001 else after <= before, (before, after)
    kept = (fitted == 0)[source.eq(target).all(-1)].float().mean()
    assert kept > (weight == 0)[source.eq(target).all(-1)].float().mean() or kept > 0.99


def test_a_shape_painted_over_an_edge_of_another_stays_whole():
    square = torch.zeros(1, SIDE, SIDE)
    square[:, 60:132, 60:132] = 1
    source, target = painted(disc(96, 96, 36), RED, GROUND), painted(square, RED, GROUND)
    edited = (source - target).abs().amax(-1) > 0.06
    fitted = fit(found(torch.maximum(square, disc(96, 96, 36)), wider=1), source, panel(target), SCALE)
    assert (fitted[edited] > 0).float().mean() > 0.98


def test_nothing_and_nearly_everything_stay_as_they_are():
    source, right = torch.rand(1, 64, 64, 3), torch.rand(1, 64, 64, 3)
    assert not fit(torch.zeros(1, 64, 64), source, right, 2.5).any()
    most = torch.ones(1, 64, 64)
    most[:, :5] = 0
    assert torch.equal(fit(most, source, right, 2.5), most)


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (17, 3)])
def test_any_size(size):
    source, weight = torch.full((1, *size, 3), 0.3), torch.ones(1, *size)
    assert fit(weight, source, source + 0.5, 4.0).shape == (1, *size)


def test_a_new_background_leaves_a_thing_its_own_edge():
    shape = disc(96, 96, 40)
    source, target = painted(shape, RED, GROUND), painted(shape, RED, torch.full_like(GROUND, 0.9))
    weight = found(1 - disc(96, 96, 40 - SCALE / 2), wider=0)  # the model painted half a px of the panel into it
    right = panel(painted(disc(96, 96, 40 - SCALE / 2), RED, torch.full_like(GROUND, 0.9)))
    fitted = fit(weight, source, right, SCALE)
    assert weight.mean() > 0.6
    assert (fitted[shape == 0] > 0).float().mean() > 0.99
    assert wrong(fitted, source, target, right) < wrong(weight, source, target, right) / 2


def test_a_faint_rest_of_the_edit_on_flat_ground_is_taken():
    shape = disc(96, 96, 40)
    right = torch.where(
        disc(96, 96, 44)[..., None] > shape[..., None],
        GROUND + 0.05 * (torch.tensor(BLUE) - GROUND),
        painted(shape, BLUE, GROUND),
    )
    fitted = fit(found(disc(96, 96, 44), wider=0), GROUND, right, SCALE)
    assert (fitted[(disc(96, 96, 43) > 0) & (shape == 0)] > 0).float().mean() > 0.9


def test_a_large_picture_is_fitted_band_by_band_as_a_whole(monkeypatch):
    source = painted(disc(60, 70, 30), RED, GROUND)
    right = panel(painted(disc(60, 70, 31.5), BLUE, painted(disc(140, 150, 20), BLUE, source)))
    weight = torch.maximum(found(disc(60, 70, 31.5), 0), found(disc(140, 150, 20), 1))
    whole = fit(weight, source, right, SCALE)
    monkeypatch.setattr(cutout, "BAND_PIXELS", 1)
    monkeypatch.setattr(cutout, "NEAR", 3)
    assert not torch.equal(whole, weight)
    heard = []
    in_bands = fit(weight, source, right, SCALE, lambda: heard.append(1))
    assert len(heard) > 2  # a stop is heard between the bands
    monkeypatch.setattr(cutout, "BAND_PIXELS", 10**6)
    assert len(list(cutout._bands(weight, 14))) == 1
    assert torch.allclose(in_bands, fit(weight, source, right, SCALE), atol=1e-5)
