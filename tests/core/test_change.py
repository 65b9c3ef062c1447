"""The change detector: nothing where nothing changed, all where all changed, and the edit in between."""

import pytest
import torch

from demo import scenes
from icedit_core.change import changed

from .. import change_cases as cc


@pytest.fixture(scope="module")
def edits():
    return cc.cases(scenes)


def decoded(case, codec):
    """Both panels after a trip of the whole diptych through a codec."""
    diptych = codec(torch.cat([case.source, case.target], dim=2))
    return diptych.chunk(2, dim=2)


@pytest.mark.parametrize(
    "codec, count",
    [(cc.coarse_codec, 100), (cc.soft_codec, 50), (lambda x: x, 50)],
    ids=["coarse", "soft", "exact"],
)
def test_demo_edits_are_found(edits, codec, count):
    found = [cc.measure(case, changed(*decoded(case, codec), case.source)) for case in edits[:count]]
    result = cc.summary(found)
    assert {"thin drawn", "thin erased", "thin recoloured", "faint", "style"} <= {f.kind for f in found}
    assert result["recall"] >= 0.99 and result["iou"] >= 0.8, cc.table(found)
    assert result["mean recall"] >= 0.98 and result["mean iou"] >= 0.8, cc.table(found)


def test_the_codecs_err_as_autoencoders_do(edits):
    for codec, low, high in ((cc.coarse_codec, 31, 35), (cc.soft_codec, 26, 30)):
        error = torch.stack([(codec(case.source) - case.source).square().mean() for case in edits]).mean()
        assert low < -10 * error.log10() < high


def test_equal_panels_change_nothing_however_badly_they_are_decoded(edits):
    panel = torch.rand_like(edits[0].source)
    assert not changed(panel, panel.clone(), edits[0].source).any()


def test_an_edit_of_everything_is_found_everywhere():
    source = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(1)) * 0.5
    target = source + 0.4
    target[:, 20:24, 30:34] = source[:, 20:24, 30:34]  # a few pixels that happen to stay
    assert changed(source, target, source).all()


def test_a_slight_drift_and_noise_of_the_unedited_part_stay_below_the_threshold(edits):
    generator = torch.Generator().manual_seed(2)
    false, recalls = [], []
    for case in edits[:24]:
        left, right = decoded(case, cc.soft_codec)
        right = right + 0.01 * torch.randn(right.shape, generator=generator) + torch.tensor([0.01, -0.01, 0.005])
        found = cc.measure(case, changed(left, right.clamp(0, 1), case.source))
        false.append(found.counts[1] / case.truth.numel())
        recalls.append(found.recall)
    assert sum(false) / len(false) < 0.03
    assert sum(recalls) / len(recalls) > 0.98


def test_threshold_is_a_factor_on_what_counts(edits):
    case = edits[0]
    left, right = decoded(case, cc.coarse_codec)
    areas = [changed(left, right, case.source, t).sum() for t in (0.5, 1.0, 2.0, 50.0)]
    assert areas[0] >= areas[1] >= areas[2] > areas[3] == 0


def test_batches_are_judged_image_by_image(edits):
    pairs = [decoded(case, cc.coarse_codec) for case in edits[:4]]
    source = torch.cat([case.source for case in edits[:4]])
    together = changed(torch.cat([p[0] for p in pairs]), torch.cat([p[1] for p in pairs]), source)
    for i, (left, right) in enumerate(pairs):
        assert torch.equal(together[i : i + 1], changed(left, right, source[i : i + 1]))


@pytest.mark.parametrize("size", [(1, 1), (1, 512), (16, 1), (3, 7)])
def test_any_size_of_panel(size):
    source = torch.full((1, *size, 3), 0.2)
    assert changed(source, source + 0.5, source).all()
    assert not changed(source, source, source).any()


def shifted(image, dx):
    """The image moved by a part of a pixel to the right."""
    return torch.lerp(image, torch.cat([image[:, :, :1], image[:, :, :-1]], dim=2), dx)


def test_an_edge_painted_again_half_a_pixel_off_is_no_change_and_what_is_new_or_gone_is(edits):
    ramp = torch.linspace(0, 1, 96)[None, None, :, None].expand(1, 96, 96, 3)
    scene = torch.where((torch.arange(96) // 24 % 2 == 0)[None, None, :, None], ramp * 0.2 + 0.1, 0.8 - ramp * 0.1)
    scene = cc.soft_codec(scene.contiguous(), noise=0.0)
    again = shifted(scene, 0.5)
    assert (again - scene).abs().max() > 0.1  # more than the threshold, were it news
    assert not changed(scene, again, scene).any()
    dotted = again.clone()
    dotted[:, 40:48, 60:68] = torch.tensor([1.0, 0.0, 0.0])
    found = changed(scene, dotted, scene)
    assert found[:, 41:47, 61:67].all()
    assert found.mean() < 0.06
    gone = changed(dotted, again, dotted)
    assert gone[:, 41:47, 61:67].all()
    assert gone.mean() < 0.06


def test_regions_with_hardly_any_news_are_dropped_and_a_second_edit_stays(edits):
    generator = torch.Generator().manual_seed(3)
    source = 0.4 + 0.02 * torch.rand(1, 96, 96, 3, generator=generator)
    edit = source.clone()
    edit[:, 20:44, 20:44] = torch.tensor([0.9, 0.1, 0.1])
    second = {"faint and large": (60, 84, 60, 84, 0.1), "strong and thin": (10, 34, 70, 72, 0.3)}
    for y0, y1, x0, x1, step in second.values():
        edit[:, y0:y1, x0:x1] = source[:, y0:y1, x0:x1] + step
    edit[:, 70:74, 20:22] = source[:, 70:74, 20:22] + 0.1  # a trace of repainting
    found = changed(source, edit, source)
    for name, (y0, y1, x0, x1, _) in second.items():
        assert found[:, y0:y1, x0:x1].float().mean() > 0.95, name
    assert not found[:, 66:78, 16:26].any()
    alone = torch.where((edit - source).abs().amax(-1, keepdim=True) > 0.15, source, edit)
    assert changed(source, alone, source)[:, 70:74, 20:22].all()  # the same trace is an edit where nothing else is


def striped():
    """Stripes of 16 px, and a disc of another colour across them."""
    at = torch.arange(96) + 0.5
    stripes = torch.where((at // 16 % 2 == 0)[:, None, None], torch.tensor([0.9, 0.9, 0.9]), torch.tensor([0.75] * 3))
    disc = (at[None] - 48) ** 2 + (at[:, None] - 48) ** 2 <= 20**2
    return stripes.expand(96, 96, 3), disc


@pytest.mark.parametrize("kind", ["recoloured", "removed"])
def test_an_edge_of_the_ground_that_was_painted_again_does_not_hang_on_a_changed_thing(kind):
    ground, disc = striped()
    source = torch.where(disc[..., None], torch.tensor([0.1, 0.6, 0.2]), ground)
    again = ground.roll(2, dims=0)  # the stripes lie 2 px lower
    target = torch.where(disc[..., None], torch.tensor([0.9, 0.1, 0.1]), again) if kind == "recoloured" else again
    found = changed(source[None], target[None], source[None])[0]
    assert found[disc].all()
    assert found[~disc].mean() < 0.02


def test_a_new_shape_over_a_thing_is_found_outside_the_thing_too():
    ground, disc = striped()
    source = torch.where(disc[..., None], torch.tensor([0.1, 0.6, 0.2]), ground)
    square = torch.zeros(96, 96, dtype=torch.bool)
    square[30:66, 30:66] = True
    target = torch.where(square[..., None], torch.tensor([0.9, 0.1, 0.1]), ground)
    found = changed(source[None], target[None], source[None])[0]
    assert found[square | disc].float().mean() > 0.98


def test_short_arms_of_a_new_shape_are_not_cut_off_at_the_old_thing():
    ground = torch.full((96, 96, 3), 0.5)
    disc = striped()[1]
    source = torch.where(disc[..., None], torch.tensor([1.0, 0.55, 0.1]), ground)
    cross = torch.zeros(96, 96, dtype=torch.bool)
    cross[26:70, 42:54] = cross[42:54, 26:70] = True  # 2 px further than the disc
    target = torch.where(cross[..., None], torch.tensor([0.1, 0.8, 0.9]), ground)
    found = changed(source[None], target[None], source[None])[0]
    assert found[cross | disc].all()
    assert found[~(cross | disc)].mean() < 0.02


@pytest.mark.parametrize("codec", [lambda x: x, cc.coarse_codec], ids=["exact", "coarse"])
@pytest.mark.parametrize("radius, half", [(20, 18), (20, 17), (20, 16), (24, 21), (16, 14)])
def test_corners_and_slivers_of_a_new_shape_of_the_same_colour_are_one_edit(codec, radius, half):
    at = torch.arange(96) + 0.5
    disc = (at[None] - 48) ** 2 + (at[:, None] - 48) ** 2 <= radius**2
    square = ((at[None] - 48).abs() < half) & ((at[:, None] - 48).abs() < half)
    ground, colour = torch.full((96, 96, 3), 0.5), torch.tensor([0.6, 0.1, 0.8])
    source, target = (torch.where(shape[..., None], colour, ground) for shape in (disc, square))
    found = changed(codec(source[None]), codec(target[None]), source[None])[0]
    assert found[disc & ~square].mean() > 0.95  # slivers along the square's sides
    assert found[square & ~disc].mean() > 0.95  # corners
    assert found[~(disc ^ square)].mean() < 0.03
