"""The source's own pixels where a synthetic editor changed nothing, and the edit where it did."""

import re

import pytest
import torch
import torch.nn.functional as F

from icedit_core.keep import Cut, keep
from tests import change_cases as cc
from tests.core.test_registration import drawn, edited

HEIGHT, WIDTH = 192, 256
BOX = (slice(60, 130), slice(90, 170))


def target_of(source, seed=100):
    """Another picture in a box of 11 %, and where it differs."""
    target = source.clone()
    target[BOX] = drawn(seed)[BOX]
    return target, (target - source).abs().amax(-1) > 8 / 255


def coded(image):
    """What a codec gives back of (h, w, 3)."""
    height, width = image.shape[:2]
    padded = F.pad(image[None].movedim(-1, 1), (0, -width % 8, 0, -height % 8), mode="replicate").movedim(1, -1)
    return cc.soft_codec(padded, sigma=0.5, noise=0.004)[0, :height, :width]


def counts(source, truth, done, i=0):
    """Kept share of the untouched pixels and found share of the changed ones."""
    same = (done.image[i] == source).all(-1)
    return float(same[~truth].float().mean()), float((done.mask[i] > 0)[truth].float().mean())


@pytest.mark.parametrize("with_codec", [False, True])
@pytest.mark.parametrize(
    "zoom, shift, size", [(1.0, (0, 0), None), (0.985, (3.3, -5.6), None), (1.01, (0, 2.0), (208, 240))]
)
def test_what_was_not_edited_is_the_sources_and_what_was_is_the_edits(zoom, shift, size, with_codec):
    source = drawn(1)
    target, truth = target_of(source)
    edit = coded(edited(target, (zoom, zoom), shift, size)) * 1.03 - 0.015
    done = keep(source[None], edit[None].clamp(0, 1), codec=coded_batch if with_codec else None)
    kept, recall = counts(source, truth, done)
    assert kept > 0.97 and recall > 0.99, (kept, recall, done.report)
    assert torch.equal(done.image[0][done.mask[0] == 0], source[done.mask[0] == 0])
    found = truth & (done.mask[0] == 1)
    assert (done.image[0] - target).abs()[found].mean() < 0.03
    assert re.search(r"\d+\.\d % changed\.$", done.report[0])


def coded_batch(images):
    assert all(side % 16 == 0 for side in images.shape[1:3])
    return coded(images[0])[None]


def test_a_picture_that_did_not_change_comes_back_bit_for_bit():
    source = drawn(2)
    for edit in (source, coded(source), coded(edited(source, (1.01, 1.01), (1.0, 2.0)))):
        done = keep(source[None], edit[None])
        assert done.mask.mean() < 0.002 and (done.image[0] == source).all(-1).float().mean() > 0.998, done.report


def test_several_edits_of_several_sources_in_order_and_with_alpha():
    sources = torch.stack([drawn(3), drawn(4)])
    edits = torch.cat([sources.clone(), sources.clone()])
    for i in range(4):
        edits[i, 20 * i : 20 * i + 30, 40:80] = 1 - edits[i, 20 * i : 20 * i + 30, 40:80]
    rgba = torch.cat([sources, torch.rand(2, HEIGHT, WIDTH, 1)], dim=-1)
    done = keep(rgba, edits)
    assert done.image.shape == (4, HEIGHT, WIDTH, 4) and len(done.report) == 4
    for i in range(4):
        assert torch.equal(done.image[i, ..., 3], rgba[i % 2, ..., 3])
        rows = (done.mask[i] > 0).any(1).nonzero()
        assert abs(int(rows.min()) - 20 * i) <= 2 and abs(int(rows.max()) - 20 * i - 29) <= 2


def test_edits_of_one_source_ask_the_codec_once_for_each_source_and_size():
    sources, asked = torch.stack([drawn(3), drawn(4)]), []

    def codec(images):
        asked.append(images.shape)
        return coded_batch(images)

    edits = torch.cat([sources, sources]).clone()
    edits[:, 20:60, 40:90] = 1 - edits[:, 20:60, 40:90]
    done = keep(sources, edits, codec=codec)
    alone = keep(sources[1:], edits[3:], codec=coded_batch)
    assert len(asked) == 2 and torch.equal(done.image[3], alone.image[0])


def test_a_mask_decides():
    source = drawn(5)
    target, _ = target_of(source)
    mask = torch.zeros(1, HEIGHT, WIDTH)
    mask[:, :80, :120] = 1
    done = keep(source[None], coded(target)[None], mask=mask, cut=Cut(feather=4))
    assert torch.equal(done.image[0, 90:], source[90:]) and torch.equal(done.mask[0, :80, :120], mask[0, :80, :120])
    assert (done.image[0, 60:80, 90:120] - target[60:80, 90:120]).abs().mean() < 0.05
    assert "(by the mask)" in done.report[0]


def test_the_whole_picture_is_said_and_left_alone():
    source = drawn(6)
    style = source[..., [2, 0, 1]] ** 1.5
    done = keep(source[None], style[None])
    assert done.mask.all() and torch.equal(done.image[0], style) and "whole picture" in done.report[0]
    evening = source * torch.tensor([0.9, 0.85, 0.8])
    done = keep(source[None], evening[None])
    assert done.mask.all() and torch.equal(done.image[0], evening) and "whole picture" in done.report[0]


def test_what_does_not_match_is_only_brought_to_size_and_said():
    done = keep(drawn(7)[None], drawn(8)[None, :100])
    assert done.image.shape[1:3] == (HEIGHT, WIDTH) and done.mask.all()
    assert "not aligned" in done.report[0].lower() and "nothing of it is kept" in done.report[0]


def test_edited_pixels_get_the_sources_colours_as_far_as_asked():
    source = drawn(9)
    target, truth = target_of(source)
    edit = target * 0.95 + 0.03
    inner = truth[70:120, 100:160]
    errors = []
    for colour in (1.0, 0.0):
        done = keep(source[None], edit[None], colour=colour)
        errors.append(float((done.image[0] - target)[70:120, 100:160].abs()[inner].mean()))
    assert errors[0] < 1 / 255 and errors[1] > 2 / 255


def test_steps_can_stop_it():
    class Stop(BaseException):
        pass

    steps = []

    def step():
        steps.append(1)
        if len(steps) == 4:
            raise Stop

    with pytest.raises(Stop):
        keep(drawn(1)[None], coded(target_of(drawn(1))[0])[None], step=step)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"edit": torch.zeros(3, 8, 8, 3)}, "3 edits for 2 sources"),
        ({"edit": torch.zeros(8, 8, 3)}, "edit is"),
        ({"source": torch.zeros(1, 8, 8, 1)}, "source is"),
        ({"mask": torch.ones(1, 9, 9)}, "mask is 9x9 px"),
        ({"cut": Cut(threshold=0)}, "threshold 0"),
        ({"colour": 2.0}, "colour is 2"),
    ],
)
def test_bad_values_are_refused_in_words(change, message):
    given = {"source": torch.zeros(2, 8, 8, 3), "edit": torch.zeros(2, 8, 8, 3)} | change
    with pytest.raises(ValueError, match="ICEdit Keep Unedited: .*" + message):
        keep(**given)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (5, 3), (17, 400)])
def test_any_size(size):
    source, edit = torch.rand(1, *size, 3), torch.rand(1, 20, 9, 3)
    done = keep(source, edit)
    assert done.image.shape == source.shape and done.mask.shape == source.shape[:3]
