"""The user's mask of where editing is allowed: checked, matched to the batch, or found to say nothing."""

import torch
from torch import Tensor

from .pixels import SHOWS, check_range, covered

FAINT = 0.1  # below it the edit hardly shows
NEARLY_ALL = 0.9  # of the image


def check_mask(who: str, image: Tensor, mask: Tensor | None, fit: str) -> tuple[Tensor | None, list[str]]:
    """Check a mask against the images it is for.

    Args:
        who: the node to name in errors.
        image: (B, H, W, C).
        mask: (B or 1, H, W) or (H, W) in [0, 1], or None.
        fit: `around_mask` needs a region in every image; the others take an empty mask for no mask.
    Returns:
        The mask as (B, H, W) with values that cannot show set to 0, None where it allows everything, and notes for
        the user.
    Raises:
        ValueError: another size or count than the images', values outside [0, 1], nothing to crop to.
    """
    if mask is None:
        if fit == "around_mask":
            raise ValueError(
                f"{who}: fit 'around_mask' without a mask, but a mask of what to edit is needed. "
                "Connect one, or choose another fit."
            )
        return None, []
    if mask.dim() == 2:
        mask = mask[None]
    if mask.dim() != 3 or 0 in mask.shape:
        raise ValueError(f"{who}: mask is {tuple(mask.shape)}, but (B, H, W) is needed. Connect a MASK output.")
    check_range(who, mask, "mask")
    highest = float(mask.max())
    mask = torch.where(covered(mask), mask, torch.zeros_like(mask))
    if not mask.any():
        found = f"the mask is empty{f' (no value above {highest:.2g}; under 1/{1 / SHOWS:g} is 0)' if highest else ''}"
        if fit == "around_mask":
            raise ValueError(
                f"{who}: {found}, but fit 'around_mask' needs a region to crop to. "
                "Paint the region to edit, or choose another fit."
            )
        if highest:
            return None, [f"{found.capitalize()}: edit everywhere."]
        return None, ["The mask is empty (a loader gives such a mask for a picture without alpha): edit everywhere."]
    matched, notes = _matched(who, image, mask, fit)
    return matched, [*notes, *_faint_notes(matched)]


def _matched(who: str, image: Tensor, mask: Tensor, fit: str) -> tuple[Tensor, list[str]]:
    count, height, width = image.shape[:3]
    if tuple(mask.shape[1:]) != (height, width):
        raise ValueError(
            f"{who}: the mask is {mask.shape[2]}x{mask.shape[1]} px and the image {width}x{height} px, but both must "
            "have one size. Resize the mask to the image, e.g. with the Resize Image/Mask node."
        )
    if len(mask) not in (1, count):
        raise ValueError(
            f"{who}: {len(mask)} masks for {count} images, but one mask, or one for each image, is needed. "
            "Pick or repeat masks to match."
        )
    mask = mask.to(image.device).expand(count, -1, -1)
    empty = [str(i) for i in range(count) if not mask[i].any()]
    if empty and fit == "around_mask":
        raise ValueError(
            f"{who}: the mask of image {', '.join(empty)} is empty, but 'around_mask' needs a region in each. "
            "Leave these images out, or choose another fit."
        )
    if empty:
        return mask, [f"The mask of image {', '.join(empty)} is empty: nothing is repainted there."]
    return mask, []


def _faint_notes(mask: Tensor) -> list[str]:
    """Notes on masks (B, H, W) that allow nearly everything, and most of it hardly: often a segmenter's background."""
    for one in mask:
        shown, faint = float(covered(one).float().mean()), float((covered(one) & (one < FAINT)).float().mean())
        if shown >= NEARLY_ALL and faint > shown / 2:
            return [
                f"The mask covers {100 * shown:.0f} % of the image, {100 * faint:.0f} % with values under {FAINT:g}: "
                "that part is repainted too, and mixed in faintly. If it should stay as it is, put a Threshold Mask "
                "before this node."
            ]
    return []
