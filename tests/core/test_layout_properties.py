"""Geometry of any size: bounds, coverage of what is allowed, and the way back to the source."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icedit_core.diptych import compose
from icedit_core.layout import FITS, GRID, LONGEST, SMALLEST_BOX, around, centred, plan
from icedit_core.restore import Edge, restore

steady = settings(derandomize=True, deadline=None, database=None)
sides = st.one_of(st.integers(1, 20_000), st.sampled_from([1, 15, 16, 17, 511, 512, 513, 4096]))
sizes = st.tuples(sides, sides)
widths = st.integers(1, 256).map(lambda cells: cells * GRID)
fits = st.sampled_from(FITS)


@settings(steady, max_examples=500)
@given(sizes, widths, fits)
def test_a_plan_is_bounded_and_shows_the_box_at_its_aspect(size, width, fit):
    box, inner, panel = plan(size, width, fit)
    scale = min(width / size[0], LONGEST * width / size[1])
    for axis, longest in enumerate((width, LONGEST * width)):
        assert panel[axis] % GRID == 0 and GRID <= panel[axis] <= longest
        assert 1 <= inner[axis] <= panel[axis] < inner[axis] + GRID and 1 <= box[axis] <= size[axis]
        exact = size[axis] * scale
        if fit == "pad":
            assert box == size and abs(inner[axis] - max(1, exact)) <= 0.5 + 1e-6
        elif fit == "crop":
            shown = max(scale, GRID / min(size))  # no side shows less than one cell
            assert inner == panel
            assert abs(box[axis] - min(max(panel[axis] / shown, 1), size[axis])) <= 0.5 + 1e-6
        else:
            assert box == size and inner == panel
            assert panel[axis] == GRID or abs(panel[axis] - exact) <= GRID / 2 + 1e-6
    x, y = centred(size, box)
    assert 0 <= x <= size[0] - box[0] and 0 <= y <= size[1] - box[1]
    assert abs(size[0] - box[0] - 2 * x) <= 1 and abs(size[1] - box[1] - 2 * y) <= 1


@st.composite
def bounded(draw):
    """An image's size, and what one to four masks of it cover."""
    size = draw(sizes)
    bounds = []
    for _ in range(draw(st.integers(1, 4))):
        spans = [sorted(draw(st.tuples(st.integers(0, side - 1), st.integers(0, side - 1)))) for side in size]
        bounds.append((spans[0][0], spans[1][0], spans[0][1] + 1, spans[1][1] + 1))
    return size, bounds


@settings(steady, max_examples=300)
@given(bounded(), st.floats(0, 10))
def test_a_box_around_masks_covers_each_and_stays_inside(case, context):
    size, bounds = case
    box, corners = around(bounds, size, context)
    for (x, y), (x0, y0, x1, y1) in zip(corners, bounds, strict=True):
        assert 0 <= x <= x0 and x1 <= x + box[0] <= size[0]
        assert 0 <= y <= y0 and y1 <= y + box[1] <= size[1]
        margin = context * max(x1 - x0, y1 - y0)
        assert box[0] == size[0] or box[0] >= max(SMALLEST_BOX, x1 - x0 + 2 * margin - 0.5 - 1e-6)
        assert box[1] == size[1] or box[1] >= max(SMALLEST_BOX, y1 - y0 + 2 * margin - 0.5 - 1e-6)


@st.composite
def pictures(draw):
    """Images of any small size, a width, a fit, and a mask of a few boxes or none where the fit needs none."""
    width, height, count = draw(st.integers(1, 70)), draw(st.integers(1, 70)), draw(st.integers(1, 2))
    noise = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    image = torch.rand(count, height, width, draw(st.sampled_from((3, 4))), generator=noise)
    fit = draw(fits)
    mask = None
    if fit == "around_mask" or draw(st.booleans()):
        mask = torch.zeros(count, height, width)
        for one in mask:
            x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
            one[y : y + draw(st.integers(1, 20)), x : x + draw(st.integers(1, 20))] = draw(st.sampled_from((1.0, 0.3)))
    made = compose(image, draw(st.integers(1, 4)) * GRID, fit, mask)
    return image, mask, made, noise


@settings(steady, max_examples=60)
@given(pictures())
def test_the_mask_repaints_every_allowed_pixel_that_is_shown_and_no_half_token(case):
    image, mask, made, _ = case
    layout, (pw, ph) = made.layout, made.layout.panel
    assert made.diptych.shape == (len(image), ph, 2 * pw, 3) and made.mask.shape == made.diptych.shape[:3]
    assert 0 <= made.diptych.min() and made.diptych.max() <= 1
    assert torch.equal(made.diptych[:, :, :pw], made.diptych[:, :, pw:]) and not made.mask[:, :, :pw].any()
    cells = made.mask[:, :, pw:].unfold(1, GRID, GRID).unfold(2, GRID, GRID).flatten(3)
    assert torch.equal(cells.amin(-1), cells.amax(-1)) and set(cells.unique().tolist()) <= {0.0, 1.0}
    if mask is None:
        assert cells.min() == 1
        return
    (bw, bh), (w, h) = layout.box, layout.inner
    for one, right, (x, y) in zip(mask, made.mask[:, :, pw:], layout.corners, strict=True):
        rows, columns = one[y : y + bh, x : x + bw].nonzero(as_tuple=True)
        assert right[rows * h // bh, columns * w // bw].all()
        if layout.fit == "around_mask":
            assert len(rows) == one.count_nonzero()


@settings(steady, max_examples=60)
@given(pictures(), st.sampled_from(("auto", "change", "off")), st.integers(0, 5))
def test_the_way_back_keeps_size_alpha_and_all_that_is_not_edited(case, keep, feather):
    image, mask, made, noise = case
    edited = made.diptych.clone()
    edited[:, :, made.layout.panel[0] :] = torch.rand(edited[:, :, made.layout.panel[0] :].shape, generator=noise)
    unedited = restore(made.diptych, made.layout, edge=Edge(feather=feather))
    assert torch.equal(unedited.image, image) and not unedited.mask.any()
    back = restore(edited, made.layout, edge=Edge(keep, feather=feather))
    assert back.image.shape == image.shape and back.image.dtype == image.dtype
    assert back.mask.min() >= 0 and back.mask.max() <= 1
    assert torch.equal(back.image[back.mask == 0], image[back.mask == 0])
    assert torch.equal(back.image[..., 3:], image[..., 3:])
    if keep == "off":
        (bw, bh), inside = made.layout.box, torch.zeros_like(back.mask)
        for one, (x, y) in zip(inside, made.layout.corners, strict=True):
            one[y : y + bh, x : x + bw] = 1
        assert torch.equal(back.mask, inside)
    elif mask is not None and not feather:
        assert torch.equal(back.image[mask == 0], image[mask == 0])


@settings(steady, max_examples=30)
@given(st.integers(1, 5), st.integers(1, 5), fits.filter(lambda fit: fit != "around_mask"), st.integers(0, 99))
def test_at_the_source_s_own_size_the_panel_comes_back_bit_for_bit(columns, rows, fit, seed):
    noise = torch.Generator().manual_seed(seed)
    rows = min(rows, LONGEST * columns)
    image = torch.rand(1, rows * GRID, columns * GRID, 3, generator=noise)
    made = compose(image, columns * GRID, fit)
    assert torch.equal(made.diptych, torch.cat([image, image], dim=2))
    edited = torch.rand(made.diptych.shape, generator=noise)
    back = restore(edited, made.layout, edge=Edge("off"))
    assert torch.equal(back.image, edited[:, :, columns * GRID :])
