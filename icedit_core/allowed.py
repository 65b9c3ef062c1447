"""The user's mask of where editing is allowed: checked, matched to the batch, or found to say nothing."""

import torch
from torch import Tensor

from .pixels import check_range

INVISIBLE = 1 / 255  # below it a value does not show in 8 bits: a segmenter's background, not a region
FAINT, NEARLY_ALL = 0.1, 0.9  # a mask that covers this share while most of it is this faint is hardly what was meant


def check_mask(who: str, image: Tensor, mask: Tensor | None, fit: str) -> tuple[Tensor | None, list[str]]:
    """Check a mask against the images it is for.

    Args:
        who: the node to name in errors.
        image: (B, H, W, C).
        mask: (B or 1, H, W) or (H, W) in [0, 1], or None.
        fit: `around_mask` needs a region in every image; the others take an empty mask for no mask.
    Returns:
        The mask as (B, H, W), 0 where it was below 1/255, None where it allows everything, and notes for the user.
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
    mask = torch.where(mask < INVISIBLE, torch.zeros_like(mask), mask)
    if not mask.any():
        if fit == "around_mask":
            raise ValueError(
                f"{who}: the mask is empty, but fit 'around_mask' needs a region to crop to. "
                "Paint the region to edit, or choose another fit."
            )
        return None, ["The mask is empty (a loader gives such a mask for a picture without alpha): edit everywhere."]
    matched, notes = _matched(who, image, mask, fit)
    return matched, notes + _faint(mask)


def _faint(mask: Tensor) -> list[str]:
    covered = mask > 0
    if covered.float().mean() < NEARLY_ALL or (mask[covered] < FAINT).float().mean() < 0.5:
        return []
    return [
        f"The mask covers {covered.float().mean():.0%} of the picture, most of it fainter than {FAINT:g}: every value "
        "from 1/255 on counts. If a smaller region is meant, put a threshold before it (ThresholdMask).".replace(
            "%", " %", 1
        )
    ]


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
