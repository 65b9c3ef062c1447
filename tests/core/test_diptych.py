"""Geometry: what the model is shown, what it repaints, and what is refused."""

import pytest
import torch

from icedit_core.diptych import compose
from icedit_core.layout import FITS, around, plan
from icedit_core.pixels import feather, grow


def image(width, height, count=1, channels=3, seed=0):
    return torch.rand(count, height, width, channels, generator=torch.Generator().manual_seed(seed))


def box_mask(width, height, x0, y0, x1, y1):
    mask = torch.zeros(1, height, width)
    mask[:, y0:y1, x0:x1] = 1
    return mask


SIZES = [(1, 1), (1, 2000), (3000, 1), (640, 480), (481, 640), (512, 512), (37, 999), (1000, 10)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("width", [16, 64, 512])
def test_panels_are_multiples_of_16_and_bounded(size, fit, width):
    geometry = plan(size, width, fit)
    for side, inner, longest in zip(geometry.panel, geometry.inner, (width, 4 * width), strict=True):
        assert side % 16 == 0 and 16 <= side <= longest
        assert 1 <= inner <= side and side - inner < 16
    assert all(1 <= part <= whole for part, whole in zip(geometry.box, size, strict=True))
    assert fit == "crop" or geometry.box == size


@pytest.mark.parametrize(
    "size, fit, box, inner, panel",
    [
        ((640, 480), "resize", (640, 480), (512, 384), (512, 384)),
        ((3000, 2000), "resize", (3000, 2000), (512, 336), (512, 336)),  # 341.3 to the nearest 16
        ((3000, 2000), "pad", (3000, 2000), (512, 341), (512, 352)),
        ((3000, 2000), "crop", (3000, 1969), (512, 336), (512, 336)),
        ((100, 1000), "resize", (100, 1000), (208, 2048), (208, 2048)),  # taller than 4 x width
        ((1, 2000), "pad", (1, 2000), (1, 2048), (16, 2048)),
        ((3000, 1), "crop", (32, 1), (512, 16), (512, 16)),
        ((511, 511), "crop", (511, 511), (512, 512), (512, 512)),
    ],
)
def test_sizes_at_512(size, fit, box, inner, panel):
    assert plan(size, 512, fit) == (box, inner, panel)


def test_source_stands_in_both_panels_and_the_right_one_is_repainted():
    source = image(64, 48, count=3)
    made = compose(source, 64)
    assert made.diptych.shape == (3, 48, 128, 3) and made.mask.shape == (3, 48, 128)
    assert torch.equal(made.diptych[:, :, :64], source) and torch.equal(made.diptych[:, :, 64:], source)
    assert not made.mask[:, :, :64].any() and (made.mask[:, :, 64:] == 1).all()


def test_pad_repeats_the_edge_and_keeps_the_aspect():
    made = compose(image(64, 41), 64, "pad")
    assert made.diptych.shape == (1, 48, 128, 3)
    assert torch.equal(made.diptych[:, 41:], made.diptych[:, 40:41].expand(-1, 7, -1, -1))


def test_crop_takes_the_centre():
    source = image(64, 58)
    made = compose(source, 64, "crop")
    assert torch.equal(made.diptych[:, :, :64], source[:, 5:53])


def test_half_precision_stays_and_alpha_is_kept_aside():
    source = image(33, 20, channels=4).half()
    made = compose(source, 32)
    assert made.diptych.dtype == torch.float16 and made.diptych.shape[-1] == 3
    assert made.layout.image is source
    assert any("alpha" in note for note in made.notes)


def test_repaint_covers_whole_tokens_around_the_allowed_region():
    mask = torch.zeros(1, 640, 640)
    mask[:, 300, 100:500] = 0.2  # one source pixel high: thinner than a pixel of the panel
    right = compose(image(640, 640), 128, mask=mask).mask[:, :, 128:]
    cells = right.reshape(8, 16, 8, 16).transpose(1, 2).flatten(2)
    assert torch.equal(cells.amin(-1), cells.amax(-1))
    assert cells[..., 0].sum() == 6 and cells[3, 1:7, 0].all()  # y 300 px is row 60 of 128: cell 3


def test_repaint_covers_every_allowed_pixel_at_any_scale():
    generator = torch.Generator().manual_seed(3)
    for width, height in [(31, 17), (64, 64), (200, 90), (777, 333)]:
        mask = (torch.rand(1, height, width, generator=generator) > 0.998).float()
        mask[0, height // 2, width // 2] = 1
        made = compose(image(width, height), 64, "resize", mask)
        rows, columns = mask[0].nonzero(as_tuple=True)
        panel_width, panel_height = made.layout.panel
        at_row, at_column = (rows * panel_height) // height, (columns * panel_width) // width
        assert made.mask[0, at_row, panel_width + at_column].all()


def test_around_mask_crops_with_context_and_works_at_full_width():
    mask = box_mask(3000, 2000, 2900, 1000, 2980, 1160)
    made = compose(image(3000, 2000), 512, "around_mask", mask, context=0.5)
    layout = made.layout
    assert layout.box == (240, 320) and layout.corners == ((2760, 920),)  # moved inside the picture
    assert layout.panel == (512, 688)  # 682.7 to the nearest 16
    assert made.mask[:, :, 512:].any() and not (made.mask[:, :, 512:] == 1).all()


def test_around_mask_gives_each_image_its_place_at_one_size():
    mask = torch.cat([box_mask(400, 300, 0, 0, 20, 10), box_mask(400, 300, 350, 100, 400, 300)])
    layout = compose(image(400, 300, count=2), 64, "around_mask", mask, context=0.1).layout
    assert layout.box == (90, 240) and layout.corners == ((0, 0), (310, 60))


def test_around_grows_small_boxes_and_stops_at_the_image():
    assert around([(50, 50, 51, 51)], (200, 100), 0.0) == ((64, 64), ((18, 18),))
    assert around([(0, 0, 200, 100)], (200, 100), 4.0) == ((200, 100), ((0, 0),))


def test_an_empty_mask_is_no_mask_and_says_so():
    made = compose(image(100, 50), 64, mask=torch.zeros(1, 64, 64))  # what a loader gives for a picture without alpha
    assert made.layout.mask is None and (made.mask[:, :, 64:] == 1).all()
    assert any("mask is empty" in note for note in made.notes)


@pytest.mark.parametrize("background", [1e-8, 0.0004, 0.0039])
def test_a_background_that_cannot_show_is_none(background):
    clean = box_mask(300, 200, 60, 60, 100, 100)
    noisy = clean.clamp(min=background)
    for fit in FITS:
        expected, got = (compose(image(300, 200), 96, fit, one) for one in (clean, noisy))
        assert torch.equal(got.layout.mask, clean) and got.notes == expected.notes
        assert got.layout[2:] == expected.layout[2:] and torch.equal(got.mask, expected.mask)


def test_the_least_value_of_an_8_bit_mask_counts():
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        made = compose(image(64, 64), 64, "around_mask", box_mask(64, 64, 0, 0, 9, 9).to(dtype) / 255)
        assert made.layout.mask.sum() > 0


def test_a_mask_of_nothing_but_such_values_is_empty_and_says_what_was_in_it():
    mask = torch.full((1, 64, 64), 0.0004)
    made = compose(image(64, 64), 64, mask=mask)
    assert made.layout.mask is None and any("no value above 0.0004; under 1/256 is 0" in note for note in made.notes)
    with pytest.raises(ValueError, match="the mask is empty .*0.0004.*'around_mask' needs a region"):
        compose(image(64, 64), 64, "around_mask", mask)


@pytest.mark.parametrize("background, said", [(0.02, True), (0.0, False), (0.3, False), (1.0, False)])
def test_a_faint_mask_of_nearly_everything_is_named(background, said):
    mask = box_mask(300, 200, 60, 60, 100, 100).clamp(min=background)
    notes = compose(image(300, 200), 96, "around_mask", mask).notes
    assert any("covers 100 % of the image, 97 % with values under 0.1" in note for note in notes) == said


def test_an_empty_mask_among_others_leaves_its_image_alone():
    mask = torch.stack([torch.zeros(64, 64), torch.ones(64, 64)])
    made = compose(image(64, 64, count=2), 64, mask=mask)
    assert not made.mask[0].any() and (made.mask[1, :, 64:] == 1).all()
    assert any("image 0" in note for note in made.notes)


def test_one_mask_serves_the_batch():
    mask = box_mask(64, 64, 0, 0, 10, 10)
    made = compose(image(64, 64, count=3), 64, mask=mask)
    assert made.layout.mask.shape == (3, 64, 64) and made.mask.sum(dim=(1, 2)).tolist() == [256] * 3
    assert torch.equal(made.mask, compose(image(64, 64, count=3), 64, mask=mask[0]).mask)


def test_notes_name_sizes_and_limits():
    notes = compose(image(30, 2000), 64).notes
    assert "30x2000 px -> panel 16x256 px" in notes[0]
    assert any("limited to 4 x width = 256 px" in note for note in notes)
    assert any("aspect" in note for note in notes)
    assert len(compose(image(64, 64), 64).notes) == 1


def test_a_mask_outside_the_crop_is_mentioned():
    made = compose(image(64, 58), 64, "crop", box_mask(64, 58, 0, 0, 64, 4))
    assert not made.mask.any() and any("inside the crop" in note for note in made.notes)


def test_slight_overshoot_is_clamped_for_the_model_with_a_note():
    source = image(64, 64) * 1.1 - 0.05
    made = compose(source, 64)
    assert made.diptych.min() == 0 and made.diptych.max() == 1 and made.layout.image is source
    assert any("clamped" in note for note in made.notes)


GOOD = image(32, 32, count=2)
MASK = torch.ones(2, 32, 32)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"image": GOOD[:0]}, r"empty batch.*\(0, 32, 32, 3\)"),
        ({"image": GOOD[..., :2]}, r"\(2, 32, 32, 2\).*RGB or RGBA"),
        ({"image": GOOD[0]}, r"\(32, 32, 3\)"),
        ({"image": GOOD * torch.nan}, "NaN or infinite"),
        ({"image": GOOD.index_fill(1, torch.tensor([3]), torch.inf)}, "NaN or infinite"),
        ({"image": GOOD * 255}, "values from .* to 25.*but \\[0, 1\\]"),
        ({"image": GOOD * 2 - 1}, "values from -"),
        ({"image": (GOOD * 255).byte()}, "torch.uint8.*Divide by 255"),
        ({"width": 500}, "width 500 px.*multiple of 16"),
        ({"width": 0}, "width 0 px"),
        ({"fit": "stretch"}, "fit 'stretch'.*resize, pad, crop, around_mask"),
        ({"fit": "around_mask", "mask": None}, "without a mask"),
        ({"fit": "around_mask", "mask": torch.zeros(1, 64, 64)}, "mask is empty.*Paint"),
        ({"fit": "around_mask", "mask": torch.stack([MASK[0], MASK[0] * 0])}, "mask of image 1 is empty"),
        ({"mask": torch.ones(1, 31, 32)}, "32x31 px and the image 32x32 px"),
        ({"mask": torch.ones(3, 32, 32)}, "3 masks for 2 images"),
        ({"mask": MASK * 3}, "mask has values from 3"),
        ({"mask": MASK * torch.nan}, "mask holds NaN"),
        ({"mask": torch.ones(2, 1, 32, 32)}, r"mask is \(2, 1, 32, 32\)"),
        ({"context": -0.1}, "context -0.1"),
    ],
)
def test_bad_input_names_what_was_got_and_the_remedy(change, message):
    with pytest.raises(ValueError, match="ICEditDiptych: .*" + message):
        compose(**({"image": GOOD, "width": 64, "fit": "resize", "mask": None} | change))


def test_feather_falls_off_linearly_and_ends():
    mask = torch.zeros(1, 1, 21)
    mask[..., 10] = 1
    ramp = feather(mask, 4)[0, 0]
    assert torch.allclose(ramp[10:16], torch.tensor([1, 0.8, 0.6, 0.4, 0.2, 0.0]))
    assert torch.equal(ramp, ramp.flip(0)) and (ramp[15:] == 0).all()
    soft = torch.full((1, 5, 5), 0.5)
    assert torch.equal(feather(soft, 3), soft)


def test_grow_and_shrink():
    mask = box_mask(20, 20, 5, 5, 10, 10)
    assert torch.equal(grow(mask, 2), box_mask(20, 20, 3, 3, 12, 12))
    assert torch.equal(grow(mask, -2), box_mask(20, 20, 7, 7, 8, 8))
    assert grow(mask, 0) is mask


@pytest.mark.parametrize("width, nearest", [(1000, "992 and 1008"), (15, "The nearest is 16"), (513, "512 and 528")])
def test_a_width_that_is_no_multiple_names_the_nearest(width, nearest):
    with pytest.raises(ValueError, match=f"width {width} px, but a multiple of 16.*{nearest}"):
        compose(image(64, 64), width)


def test_a_source_of_hardly_any_pixels_is_noted():
    assert "1x1 px, so there is hardly a picture" in " ".join(compose(image(1, 1), 64).notes)
    assert "hardly" not in " ".join(compose(image(16, 16), 64).notes)
