"""From decoded diptychs back to the source: its size, its alpha, and its own pixels where nothing was edited."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .change import changed
from .diptych import source_part
from .keep import Cut, cut_out, paste
from .layout import Layout
from .pixels import check_image, feather, resize
from .restore_notes import left_error, notes

WHO = "ICEditRestore"
KEEP = ("auto", "change", "off")


class Restored(NamedTuple):
    image: Tensor
    mask: Tensor
    notes: tuple[str, ...]


class Edge(NamedTuple):
    """How the edit is cut out: which pixels are kept, and the border between them and the edit."""

    keep: str = "auto"
    threshold: float = 1.0
    grow: int = 0
    feather: int = 0


DEFAULT = Edge()


def restore(images: Tensor, layout: Layout, original: Tensor | None = None, edge: Edge = DEFAULT) -> Restored:
    """Put each right panel back into its source.

    Args:
        images: (k x B, h, 2w, 3) decoded diptychs in [0, 1]; diptych i belongs to source i % B, the order in which
            the host repeats a batch of images or latents.
        layout: from `compose`.
        original: (B, H, W, 3 or 4) to paste into instead of the source.
        edge: `keep`: `auto` keeps what lies outside the user's mask when there is one, else where the decoded panels
            show no change; `change` keeps both; `off` keeps nothing of the box that was shown to the model.
            `threshold`: of the change, a factor; above 1 only stronger changes count. `grow`: px of the source by
            which the detected change is widened (a user's mask never is), negative shrinks it. `feather`: px of the
            source over which the edit fades into the original, outside the change or the mask.
    Returns:
        image: (k x B, H, W, C), size and dtype of the original; where mask is 0, the original bit for bit.
        mask: (k x B, H, W) float32, 0 = original, 1 = right panel.
        notes: sentences for the user.
    Raises:
        ValueError: sizes or counts that do not belong to the layout, bad values.
    """
    _check(images, layout, original, edge)
    base = layout.image if original is None else _with_alpha(original, layout.image)
    (w, h), (panel_width, _) = layout.inner, layout.panel
    results, masks, left_errors = [], [], []
    for i, image in enumerate(images[..., :3].float()):
        index = i % len(base)
        left, right = image[None, :h, :w], image[None, :h, panel_width : panel_width + w]
        source = source_part(layout, index).to(left)
        left_errors.append(left_error(left, source))
        weight = _weight(left, right, source, layout, index, edge)
        result, mask = _paste(base[index], right.to(base.device), weight[0].to(base.device), layout, index)
        results.append(result)
        masks.append(mask)
    mask = torch.stack(masks)
    return Restored(torch.stack(results), mask, tuple(notes(mask, left_errors, layout, edge.keep)))


def _weight(left: Tensor, right: Tensor, source: Tensor, layout: Layout, index: int, edge: Edge) -> Tensor:
    """How much of the right panel each px of the box takes, (1, bh, bw) in [0, 1]."""
    (bw, bh), (x, y) = layout.box, layout.corners[index]
    if edge.keep == "off":
        return torch.ones(1, bh, bw, device=left.device)
    allowed = None
    if layout.mask is not None:
        allowed = feather(layout.mask[index : index + 1, y : y + bh, x : x + bw].to(left), edge.feather)
        if edge.keep == "auto":
            # The mask decides; only where the panels are equal to the last bit there is no edit to take.
            touched = (left != right).any(-1).float()
            return allowed * F.adaptive_max_pool2d(touched[:, None], (bh, bw))[:, 0]
    full = layout.image[index : index + 1, y : y + bh, x : x + bw, :3].to(left).clamp(0, 1)
    found = changed(left, right, source, edge.threshold)
    cut = Cut(edge.threshold, edge.grow, edge.feather)
    found = cut_out(found, full, resize(right, (bw, bh)), cut, bw / left.shape[2])
    return found if allowed is None else torch.minimum(found, allowed)


def _paste(base: Tensor, right: Tensor, weight: Tensor, layout: Layout, index: int) -> tuple[Tensor, Tensor]:
    """Blend the right panel into one original (H, W, C) at its box; weight (bh, bw)."""
    (bw, bh), (x, y) = layout.box, layout.corners[index]
    result, mask = base.clone(), base.new_zeros(base.shape[:2], dtype=torch.float32)
    if weight.any():
        paste(result[y : y + bh, x : x + bw], resize(right, layout.box)[0], weight)
        mask[y : y + bh, x : x + bw] = weight
    return result, mask


def _with_alpha(original: Tensor, source: Tensor) -> Tensor:
    if original.shape[-1] == 4 or source.shape[-1] == 3:
        return original
    return torch.cat([original, source[..., 3:].to(original)], dim=-1)


def _check(images: Tensor, layout: Layout, original: Tensor | None, edge: Edge) -> None:
    if not isinstance(layout, Layout):
        raise ValueError(
            f"{WHO}: layout is {type(layout).__name__}, but the layout of an ICEditDiptych is needed. Connect it."
        )
    check_image(WHO, images, "images")
    w, h = layout.panel
    if tuple(images.shape[1:3]) != (h, 2 * w):
        raise ValueError(
            f"{WHO}: the diptych is {images.shape[2]}x{images.shape[1]} px, but the layout's is {2 * w}x{h} px. "
            "Connect the layout of the ICEditDiptych that made it, and decode without resizing."
        )
    count = len(layout.image)
    if len(images) % count:
        raise ValueError(
            f"{WHO}: {len(images)} diptychs for {count} sources, but a multiple of {count} is needed. "
            "Pass every diptych of the batch."
        )
    if edge.keep not in KEEP:
        raise ValueError(f"{WHO}: keep_unedited '{edge.keep}', but one of {', '.join(KEEP)} is needed.")
    Cut(edge.threshold, edge.grow, edge.feather).check(WHO)
    if original is None:
        return
    check_image(WHO, original, "original")
    if original.shape[:3] != layout.image.shape[:3]:
        (b, height, width), (sb, sh, sw) = original.shape[:3], layout.image.shape[:3]
        raise ValueError(
            f"{WHO}: original is {b} x {width}x{height} px, but the source was {sb} x {sw}x{sh} px. "
            "Connect images of the source's size and number, or leave it out."
        )
