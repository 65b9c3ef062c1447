"""The source beside itself: what FLUX.1 Fill is asked to paint, and the layout that leads back."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from . import foreign
from .allowed import check_mask
from .layout import FITS, GRID, LONGEST, MOST_CONTEXT, WIDEST, Layout, around, centred, plan
from .pixels import check_image, resize

WHO = "ICEditDiptych"


class Diptych(NamedTuple):
    diptych: Tensor
    mask: Tensor
    layout: Layout
    notes: tuple[str, ...]


def compose(
    image: Tensor, width: int = 512, fit: str = "resize", mask: Tensor | None = None, context: float = 0.5
) -> Diptych:
    """Place each image beside itself at the working size and mark what the model repaints.

    Args:
        image: (B, H, W, 3 or 4) float in [0, 1]. Of RGBA the model sees RGB as stored, alpha is kept aside.
        width: working width of one panel, px, a multiple of 16, at most 4096.
        fit: `resize` (aspect kept to the nearest multiple of 16 px), `pad` (exact aspect, edges repeated to a
            multiple of 16), `crop` (centre, multiples of 16) or `around_mask` (a box around the mask).
        mask: (B or 1, H, W) in [0, 1] of where editing is allowed, any value from 1/256 on counts; a mask of any size
            that has none is no mask, as a loader gives one for every picture without alpha.
        context: `around_mask` only: margin on every side, as a part of the longer side of the mask's bounds,
            0 to 8.
    Returns:
        diptych: (B, h, 2w, 3), source in both panels, dtype and device of `image`.
        mask: (B, h, 2w) float32, 1 = repaint; whole cells of 16 px that hold any allowed pixel.
        layout: everything `restore` needs.
        notes: sentences for the user.
    Raises:
        ValueError: bad sizes, values or fit; `around_mask` without a mask or with an empty one.
    Source: ICEdit, arXiv 2504.20690, section 3.2, and the authors' inference script (width 512).
    """
    check_image(WHO, image)
    if not GRID <= width <= WIDEST or width % GRID:
        raise ValueError(
            f"{WHO}: width {foreign.line(width)} px, but a multiple of {GRID} px, at most {WIDEST}, is needed. "
            + _nearest_widths(width)
        )
    if fit not in FITS:
        raise ValueError(
            f"{WHO}: fit '{foreign.line(fit)}', but one of {', '.join(FITS)} is needed. Choose from the list."
        )
    if not 0 <= context <= MOST_CONTEXT:  # NaN is in no range
        raise ValueError(f"{WHO}: context {context:g}, but 0 to {MOST_CONTEXT:g} is needed. Try 0.5.")
    allowed, notes = check_mask(WHO, image, mask, fit)
    layout = _lay_out(image, allowed, width, fit, context)
    panel = torch.cat([source_part(layout, i) for i in range(len(image))])
    panel = _pad(panel.movedim(-1, 1), layout).movedim(1, -1)
    repaint = _repaint(layout)
    notes = [_describe(layout), *notes, *_geometry_notes(layout, width), *_value_notes(image)]
    if fit == "crop" and not repaint.any():
        notes.append("None of the mask lies inside the crop: nothing is repainted.")
    diptych = torch.cat([panel, panel], dim=2).to(image.dtype)
    return Diptych(diptych, torch.cat([torch.zeros_like(repaint), repaint], dim=2), layout, tuple(notes))


def _nearest_widths(width: int) -> str:
    below = max(GRID, min(int(width) // GRID * GRID, WIDEST))
    return f"The nearest are {below} and {below + GRID}." if GRID < width < WIDEST else f"The nearest is {below}."


def source_part(layout: Layout, index: int) -> Tensor:
    """What one panel shows of its source, without padding: (1, h, w, 3) float32 in [0, 1]."""
    rgb = layout.image[index : index + 1, ..., :3]
    return resize(rgb, layout.inner, (*layout.corners[index], *layout.box))


def _pad(planes: Tensor, layout: Layout) -> Tensor:
    right, bottom = layout.panel[0] - layout.inner[0], layout.panel[1] - layout.inner[1]
    return F.pad(planes, (0, right, 0, bottom), mode="replicate")


def _repaint(layout: Layout) -> Tensor:
    """What the right panel repaints, (B, h, w): cells of 16 px, so that no token is half allowed."""
    w, h = layout.panel
    if layout.mask is None:
        return torch.ones(len(layout.image), h, w, device=layout.image.device)
    bw, bh = layout.box
    hard = (layout.mask > 0).float()
    parts = [hard[i : i + 1, y : y + bh, x : x + bw] for i, (x, y) in enumerate(layout.corners)]
    # Max, not mean: a line thinner than a panel pixel must not fade away.
    covered = F.adaptive_max_pool2d(torch.cat(parts)[:, None], (layout.inner[1], layout.inner[0]))
    cells = F.max_pool2d(_pad(covered, layout), GRID)
    return F.interpolate(cells, scale_factor=float(GRID), mode="nearest")[:, 0]


def _lay_out(image: Tensor, mask: Tensor | None, width: int, fit: str, context: float) -> Layout:
    size = (image.shape[2], image.shape[1])
    if fit == "around_mask" and mask is not None:
        box, corners = around([_bounds(one) for one in mask], size, context)
        return Layout(image, mask, corners, *plan(box, width, fit), fit)
    geometry = plan(size, width, fit)
    return Layout(image, mask, (centred(size, geometry.box),) * len(image), *geometry, fit)


def _bounds(mask: Tensor) -> tuple[int, int, int, int]:
    """What a mask (H, W) covers: x0, y0, x1, y1 in px, ends excluded."""
    rows, columns = mask.amax(1).nonzero(), mask.amax(0).nonzero()
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _describe(layout: Layout) -> str:
    (w, h), (bw, bh), (pw, ph) = layout.size, layout.box, layout.panel
    taken = "" if (bw, bh) == (w, h) else f", {bw}x{bh} px of it"
    return f"Source {w}x{h} px{taken} -> panel {pw}x{ph} px, diptych {2 * pw}x{ph} px ({layout.fit})."


def _geometry_notes(layout: Layout, width: int) -> list[str]:
    notes = []
    if min(layout.size) < GRID:
        notes.append(
            f"The source is {layout.size[0]}x{layout.size[1]} px, so there is hardly a picture to edit. "
            "Look at the node that feeds it."
        )
    shown_width, shown_height = layout.box if layout.fit == "around_mask" else layout.size
    if shown_height > LONGEST * shown_width:
        notes.append(f"Very tall: the panel is limited to {LONGEST} x width = {LONGEST * width} px.")
    across, down = (inner / box for inner, box in zip(layout.inner, layout.box, strict=True))
    stretch = max(across, down) / min(across, down) - 1
    if stretch > 0.05:
        remedy = "" if layout.fit == "pad" else "; fit 'pad' keeps it"
        notes.append(f"The panel's aspect is {100 * stretch:.0f} % off the source's{remedy}.")
    return notes


def _value_notes(image: Tensor) -> list[str]:
    notes = []
    if image.shape[-1] == 4:
        notes.append("RGBA: the model sees the colours as stored; alpha returns untouched.")
    low, high = (float(v) for v in torch.aminmax(image[..., :3]))
    if low < 0 or high > 1:
        notes.append(f"Values from {low:.3f} to {high:.3f} are clamped for the model; kept pixels return as they came.")
    return notes
