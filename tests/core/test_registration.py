"""Edits are brought onto their source: shift, zoom, format and colours of a synthetic editor are found again."""

import re

import pytest
import torch

from icedit_core import colour, registration
from icedit_core.registration import Registration, align, register
from icedit_core.resample import resample

HEIGHT, WIDTH = 192, 256


def drawn(seed=0, height=HEIGHT, width=WIDTH, astray=0.0, astray_seed=0):
    """A picture of smooth shades and 60 discs and boxes, each of them up to `astray` px off its place."""
    generator = torch.Generator().manual_seed(seed)
    off = astray * (2 * torch.rand(60, 2, generator=torch.Generator().manual_seed(astray_seed)) - 1)
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    picture = torch.stack([0.3 + 0.3 * x, 0.4 + 0.2 * y, 0.5 - 0.2 * x * y], dim=-1)
    for i in range(60):
        cy, cx, r = (float(v) for v in torch.rand(3, generator=generator))
        colour_ = torch.rand(3, generator=generator)
        dy, dx, r = (y - cy) * height - off[i, 0], (x - cx) * width - off[i, 1], 4 + 16 * r
        distance = (dy.square() + dx.square()).sqrt() if i % 2 else torch.maximum(dy.abs(), dx.abs())
        picture = torch.lerp(picture, colour_.expand_as(picture), (r - distance + 0.5).clamp(0, 1)[..., None])
    return picture


def edited(source, zoom=(1.0, 1.0), shift=(0.0, 0.0), size=None):
    """What an editor returns that zooms and shifts (y, x; px of the source): (h, w, 3) of the given size."""
    size = size or source.shape[:2]
    axes = []
    for length, count, scale, move in zip(source.shape[:2], size, zoom, shift, strict=True):
        step = length / count / scale
        axes.append(((0.5 * length / count - length / 2 - move) / scale + length / 2 - 0.5, step, count))
    return resample(source, *axes).clamp(0, 1)


def misplaced(found, zoom, shift, size=(HEIGHT, WIDTH)):
    """The largest error of the registration anywhere, source px."""
    errors = []
    for scale, move, true_scale, true_move, length in (
        (found.scale_y, found.shift_y, zoom[0], shift[0], size[0]),
        (found.scale_x, found.shift_x, zoom[1], shift[1], size[1]),
    ):
        errors += [abs((scale - true_scale) * end * length / 2 + move - true_move) for end in (-1, 1)]
    return max(errors)


@pytest.mark.parametrize("seed", range(4))
def test_shift_and_zoom_are_found_beside_an_edit_noise_blur_and_other_colours(seed):
    generator = torch.Generator().manual_seed(seed)
    source = drawn(seed)
    zoom = (0.98 + 0.04 * float(torch.rand(1, generator=generator)),) * 2
    shift = tuple(float(v) for v in 24 * torch.rand(2, generator=generator) - 12)
    target = source.clone()
    target[60:130, 70:160] = drawn(seed + 100)[60:130, 70:160]  # 13 % of the picture
    edit = edited(target, zoom, shift)
    edit = torch.nn.functional.avg_pool2d(edit.movedim(-1, 0), 3, 1, 1, count_include_pad=False).movedim(0, -1)
    edit = (1.05 * edit - 0.03 + 0.01 * torch.randn(edit.shape, generator=generator)).clamp(0, 1)
    found = register(source, edit)
    assert found.trusted and misplaced(found, zoom, shift) < 0.25, found
    said = re.match(r"zoom ([+-].*?) %, shift", found.words())
    assert abs(float(said[1]) / 100 - zoom[0] + 1) < 0.002 if said else abs(zoom[0] - 1) < 0.002


def test_the_aligned_edit_is_the_source_where_it_covers_it():
    source = drawn()
    edit = edited(source, (1.02, 1.02), (3.0, -5.0))
    aligned, coverage = align(edit, register(source, edit), (HEIGHT, WIDTH))
    assert 0.9 < coverage.mean() < 0.98 and set(coverage.unique().tolist()) == {0.0, 1.0}
    assert ((aligned - source).abs().amax(-1) * coverage).mean() < 0.02


@pytest.mark.parametrize(
    "size, zoom, shift",
    [
        ((208, 240), (1.0, 1.0), (0.0, 0.0)),  # stretched
        ((192, 192), (1.0, WIDTH / 192), (0.0, 20.0)),  # cropped to a square, not in the middle
        ((256, 256), (0.75, 1.0), (0.0, 0.0)),  # padded to a square
        ((240, 320), (0.8, 0.8), (0.0, 0.0)),  # surrounded by something new
        ((384, 512), (1.0, 1.0), (1.0, 2.0)),  # twice the size
    ],
)
def test_formats_are_recognised(size, zoom, shift):
    source = drawn()
    edit = edited(source, zoom, shift, size)
    found = register(source, edit)
    assert found.trusted and found.size == size and misplaced(found, zoom, shift) < 0.3, found
    assert found.identity == (zoom == (1.0, 1.0) and shift == (0.0, 0.0))
    assert (found.crop is not None) == (min(zoom) < 1)
    if found.crop:
        assert f"cropped to {found.crop[2]}x{found.crop[3]} of {size[1]}x{size[0]} px" in found.words()
    assert align(edit, found, (HEIGHT, WIDTH))[0].shape == source.shape


def test_what_moves_less_than_a_pixel_shows_is_not_resampled():
    source = drawn()
    noisy = (source + 0.01 * torch.randn(source.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    for edit in (source, noisy, edited(source, shift=(0.05, 0.05))):
        found = register(source, edit)
        assert found.trusted and found.identity and found.words() == "no shift"
        aligned, coverage = align(edit, found, (HEIGHT, WIDTH))
        assert torch.equal(aligned, edit) and coverage.all()


def test_things_painted_again_a_pixel_off_are_no_zoom():
    zoomed = 0
    for seed in range(4):
        found = register(drawn(), drawn(astray=1.0, astray_seed=seed))
        assert found.trusted and misplaced(found, (1.0, 1.0), (0.0, 0.0)) < 0.6
        zoomed += (found.scale_x, found.scale_y) != (1.0, 1.0)
    assert zoomed <= 1


@pytest.mark.parametrize("edit", [drawn(7), torch.full((HEIGHT, WIDTH, 3), 0.5)], ids=["another picture", "grey"])
def test_what_does_not_match_is_only_resized(edit):
    found = register(drawn(), edit[:100])
    assert not found.trusted and found.identity and found.reason
    assert found.words() == f"not aligned: {found.reason}"
    aligned, coverage = align(edit[:100], found, (HEIGHT, WIDTH))
    assert aligned.shape == (HEIGHT, WIDTH, 3) and coverage.all()


def test_pictures_without_detail_are_alike_or_not_aligned():
    y = torch.linspace(0, 1, HEIGHT)[:, None, None]
    shade = (0.4 + 0.1 * y).expand(HEIGHT, WIDTH, 3)
    found = register(shade, shade[:150] + 0.01)
    assert found.trusted and found.identity
    found = register(shade, shade.flip(0))
    assert not found.trusted and "too little detail" in found.reason


def test_words_of_an_unequal_zoom():
    found = Registration(1.01, 0.99, 0.3, -0.4, (10, 10), None, True, "")
    assert found.words() == "zoom +1.0 % across and -1.0 % down, shift 0.5 px"


def test_colours_are_fitted_on_unedited_pixels_and_taken_back():
    source = drawn()
    gain, offset = torch.tensor([1.05, 1.0, 0.96]), torch.tensor([0.02, 0.0, -0.02])
    edit = source * gain + offset
    unedited = torch.ones(HEIGHT, WIDTH)
    edit[50:120, 60:150] = 0.9
    edit[:20, :20] = 0.1  # an edit that nobody marked
    unedited[50:120, 60:150] = 0
    found = colour.fit(source, edit, unedited)
    assert (found.apply(edit)[130:] - source[130:]).abs().max() < 2 / 255
    assert re.fullmatch(r"colours \d+ % warmer, \d+ % [a-z ]+", found.words())
    assert torch.equal(found.apply(edit, 0), edit)
    half = found.apply(edit, 0.5)[130:]
    assert (half - (edit[130:] + source[130:]) / 2).abs().max() < 2 / 255


def test_colours_stay_where_nothing_can_be_told():
    source, unedited = drawn(), torch.ones(HEIGHT, WIDTH)
    assert colour.fit(source, source * 0.9, torch.zeros(HEIGHT, WIDTH)).identity
    noisy = source + 0.02 * torch.randn(source.shape, generator=torch.Generator().manual_seed(1))
    for edit in (source, noisy, source * 0.3):  # the last: night
        found = colour.fit(source, edit, unedited)
        assert found.identity and found.words() == "" and torch.equal(found.apply(edit), edit)
    assert registration.register(source, source * 0.95).identity
