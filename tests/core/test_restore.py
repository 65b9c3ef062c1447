"""The way back: exact size, untouched bits, the edit in its place."""

import math
import random

import pytest
import torch

from icedit_core import restore_notes
from icedit_core.diptych import compose
from icedit_core.layout import FITS
from icedit_core.pixels import grow
from icedit_core.restore import Edge, restore


def image(width, height, count=1, channels=3, seed=0):
    return torch.rand(count, height, width, channels, generator=torch.Generator().manual_seed(seed))


def random_cases(count=200):
    """Sizes from 1x1 to 3000x2000, evenly in their logarithms; the corners of that range first."""
    draw = random.Random(7)
    sizes = [(1, 1), (3000, 2000), (1, 2000), (3000, 1)]
    while len(sizes) < count:
        sizes.append(
            (round(math.exp(draw.uniform(0, math.log(3000)))), round(math.exp(draw.uniform(0, math.log(2000)))))
        )
    for i, (width, height) in enumerate(sizes):
        mask = torch.zeros(1, height, width)
        x, y = draw.randrange(width), draw.randrange(height)
        mask[:, y : y + draw.randint(1, height), x : x + draw.randint(1, width)] = 1
        yield image(width, height, 1, draw.choice((3, 3, 4)), i), mask, draw.choice((16, 64, 96)), draw.randint(0, 9)


def equal_panels(made, seed=0):
    """What a model that changes nothing gives, however badly it is decoded."""
    panel = torch.rand(made.diptych[:, :, : made.layout.panel[0]].shape, generator=torch.Generator().manual_seed(seed))
    return torch.cat([panel, panel], dim=2)


def with_right(made, change):
    """The diptych with `change` applied to the right panel."""
    left, right = made.diptych.chunk(2, dim=2)
    return torch.cat([left, change(right)], dim=2)


def inverted(right):
    return 1 - right


def test_200_sizes_in_every_fit_come_back_exactly():
    for source, mask, width, _ in random_cases():
        for fit in FITS:
            made = compose(source, width, fit, mask if fit == "around_mask" else None)
            done = restore(equal_panels(made), made.layout)
            assert torch.equal(done.image, source), (source.shape, fit)
            assert done.mask.shape == source.shape[:3] and not done.mask.any()


def test_200_edits_inside_a_mask_leave_the_rest_untouched():
    for i, (source, mask, width, feather) in enumerate(random_cases()):
        reach, fit = grow(mask, feather) > 0, FITS[i % len(FITS)]
        made = compose(source, width, fit, mask)
        done = restore(with_right(made, inverted), made.layout, edge=Edge(feather=feather))
        assert done.image.shape == source.shape
        assert torch.equal(done.image[~reach], source[~reach]), (source.shape, fit)
        assert not done.mask[~reach].any()
        assert torch.equal(done.image[..., 3:], source[..., 3:])


def test_the_edit_is_in_its_place():
    source = image(64, 48)
    made = compose(source, 64)
    target = source.clone()
    target[:, 10:30, 20:40] = 1 - target[:, 10:30, 20:40].round()
    done = restore(torch.cat([source, target], dim=2), made.layout)
    differs = (source != target).any(-1)
    assert (done.mask[differs] == 1).float().mean() > 0.99
    assert torch.equal(done.image[done.mask == 1], target[done.mask == 1])
    assert torch.equal(done.image[done.mask == 0], source[done.mask == 0])


def test_around_mask_pastes_back_at_full_resolution():
    source = image(1000, 800) * 0.5
    mask = torch.zeros(1, 800, 1000)
    mask[:, 300:340, 900:960] = 1
    made = compose(source, 96, "around_mask", mask)
    done = restore(with_right(made, lambda right: right * 0 + 0.9), made.layout)
    assert torch.allclose(done.image[mask > 0], torch.tensor(0.9), atol=1e-5)
    assert torch.equal(done.image[mask == 0], source[mask == 0])
    assert torch.equal(done.mask, mask)


def test_an_edit_of_everything_comes_wholly_from_the_right_panel():
    source = image(64, 64) * 0.4
    made = compose(source, 64)
    done = restore(with_right(made, lambda right: right + 0.5), made.layout)
    assert (done.mask == 1).all() and torch.equal(done.image, source + 0.5)


def test_off_gives_the_plain_right_panel():
    source = image(64, 64)
    made = compose(source, 64)
    right = image(64, 64, seed=5)
    done = restore(torch.cat([source, right], dim=2), made.layout, edge=Edge(keep="off"))
    assert torch.equal(done.image, right) and (done.mask == 1).all()


def test_off_still_keeps_what_the_model_did_not_see():
    source = image(64, 58)
    made = compose(source, 64, "crop")
    done = restore(with_right(made, inverted), made.layout, edge=Edge(keep="off"))
    assert torch.equal(done.image[:, :5], source[:, :5]) and torch.equal(done.image[:, 53:], source[:, 53:])
    assert torch.equal(done.image[:, 5:53], 1 - source[:, 5:53])


def test_change_keeps_unedited_pixels_inside_the_mask_too():
    source = image(64, 64)
    mask = torch.zeros(1, 64, 64)
    mask[:, 10:50, 10:50] = 1
    made = compose(source, 64, mask=mask)

    def edit(right):
        right = right + 0.001  # a decoding that is nowhere exact
        right[:, 20:30, 20:30] = 1 - right[:, 20:30, 20:30].round()
        return right.clamp(0, 1)

    auto = restore(with_right(made, edit), made.layout)
    change = restore(with_right(made, edit), made.layout, edge=Edge(keep="change"))
    assert torch.equal(auto.mask, mask)
    assert change.mask.sum() < 200 and (change.mask[:, 20:30, 20:30] > 0).float().mean() > 0.9
    assert not change.mask[mask == 0].any()


def test_grow_and_feather_are_in_source_pixels_and_outside_the_change():
    source = image(128, 128) * 0.5
    made = compose(source, 64)

    def edit(right):
        right = right.clone()
        right[:, 24:40, 24:40] = 1
        return right

    plain = restore(with_right(made, edit), made.layout).mask
    grown = restore(with_right(made, edit), made.layout, edge=Edge(grow=3)).mask
    faded = restore(with_right(made, edit), made.layout, edge=Edge(feather=4)).mask
    assert torch.equal(grown, grow(plain, 3))
    assert (faded >= plain).all() and not faded[grow(plain, 4) == 0].any() and faded.sum() > plain.sum()


def test_a_soft_mask_blends_softly():
    source = torch.zeros(1, 32, 32, 3)
    mask = torch.full((1, 32, 32), 0.25)
    made = compose(source, 32, mask=mask)
    done = restore(with_right(made, lambda right: right + 1), made.layout)
    assert torch.allclose(done.image, torch.tensor(0.25))


def test_candidate_i_belongs_to_source_i_mod_b():
    source = image(32, 32, count=2)
    made = compose(source, 32)
    left, right = made.diptych.chunk(2, dim=2)
    repeated = torch.cat([left, right], dim=2).repeat(3, 1, 1, 1)  # as RepeatImageBatch and RepeatLatentBatch do
    done = restore(repeated, made.layout)
    assert torch.equal(done.image, source.repeat(3, 1, 1, 1))
    assert any("source i % 2" in note for note in done.notes)


def test_it_says_when_nothing_or_everything_changed():
    source = image(64, 48)
    made = compose(source, 64)
    everything = with_right(made, inverted)

    def said(images, layout, edge):
        return " ".join(restore(images, layout, None, edge).notes)

    assert "Nothing was changed" in said(equal_panels(made), made.layout, Edge())
    causes = ("not FLUX.1 Fill (connect it to ICEdit Diptych's model", "LoRA not loaded", "ae.safetensors", "cfg above")
    assert all(words in said(everything, made.layout, Edge()) for words in ("Nothing of the source was kept", *causes))
    assert "denoise is below 1" in said(equal_panels(made), made.layout, Edge())
    assert said(everything, made.layout, Edge("off")) == "Changed: 100.0 % of the picture."
    masked = compose(source, 64, mask=torch.ones(1, 48, 64))
    assert said(with_right(masked, inverted), masked.layout, Edge()) == "Changed: 100.0 % of the picture."


@pytest.mark.parametrize("edge", [Edge(), Edge("off")])
def test_a_left_panel_that_is_not_the_source_is_told_from_a_bad_edit(edge):
    """Wrong VAEs and masks spoil both panels, a wrong model or seed only the right one."""
    made = compose(image(64, 48), 64)
    for diptych, lost in ((0.5 * made.diptych, True), (with_right(made, inverted), False)):
        notes = " ".join(restore(diptych, made.layout, None, edge).notes)
        assert ("The left panel does not show the source" in notes) == lost
        assert "the VAE that decodes is not the one that encodes" in notes or not lost
    noisy = made.diptych + 0.3 * torch.randn(made.diptych.shape, generator=torch.Generator().manual_seed(1))
    assert "left panel" not in " ".join(restore(noisy.clamp(0, 1), made.layout, None, edge).notes)


def test_original_replaces_the_source_and_alpha_follows():
    source, other = image(40, 30, channels=4), image(40, 30, seed=9)
    made = compose(source, 32)
    done = restore(equal_panels(made), made.layout, other)
    assert torch.equal(done.image, torch.cat([other, source[..., 3:]], dim=-1))
    done = restore(equal_panels(made), made.layout, image(40, 30, channels=4, seed=9))
    assert torch.equal(done.image, image(40, 30, channels=4, seed=9))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_its_bits(dtype):
    source = image(50, 40).to(dtype)
    made = compose(source, 64)
    done = restore(equal_panels(made).to(dtype), made.layout)
    assert done.image.dtype == dtype and torch.equal(done.image, source)


def test_overshoot_of_kept_pixels_returns_as_it_came():
    source = image(50, 40) * 1.2 - 0.1
    made = compose(source, 64)
    assert torch.equal(restore(equal_panels(made), made.layout).image, source)


def test_inputs_are_not_written_to():
    source = image(64, 64, channels=4)
    kept = source.clone()
    made = compose(source, 64)
    diptych = with_right(made, inverted)
    before = diptych.clone()
    restore(diptych, made.layout)
    assert torch.equal(source, kept) and torch.equal(diptych, before)


MADE = compose(image(40, 30, count=2), 64)
DECODED = equal_panels(MADE)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((DECODED[:, :, :64], MADE.layout), "64x48 px, but the layout's is 128x48 px"),
        ((DECODED[:1], MADE.layout), "1 diptychs for 2 sources"),
        ((DECODED * torch.nan, MADE.layout), "NaN or infinite"),
        ((DECODED, (1, 2)), "layout is tuple"),
        ((DECODED, MADE.layout, image(30, 40, count=2)), "2 x 30x40 px, but the source was 2 x 40x30 px"),
        ((DECODED, MADE.layout, image(40, 30)), "1 x 40x30 px"),
        ((DECODED, MADE.layout, None, Edge(keep="some")), "keep_unedited 'some'.*auto, change, off"),
        ((DECODED, MADE.layout, None, Edge(threshold=0)), "threshold 0 and"),
        ((DECODED, MADE.layout, None, Edge(feather=-1)), "feather -1"),
    ],
)
def test_bad_input_names_what_was_got_and_the_remedy(arguments, message):
    with pytest.raises(ValueError, match="ICEditRestore: .*" + message):
        restore(*arguments)


def test_the_same_share_of_every_picture_is_said_once():
    assert restore_notes._changed(["100.0 %"] * 6) == "Changed: 100.0 % of each of the 6 pictures."
    assert restore_notes._changed(["4.0 %", "5.0 %"]) == "Changed: 4.0 %, 5.0 % of the pictures."
    assert restore_notes._changed(["4.0 %"]) == "Changed: 4.0 % of the picture."
