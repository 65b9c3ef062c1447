"""Where the words of a prompt look: how much of each image token's attention goes to chosen text tokens."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

WHO = "ICEdit Attention Map"
COLOURS = ((0.05, 0.03, 0.20), (0.55, 0.10, 0.45), (0.95, 0.40, 0.20), (1.0, 0.95, 0.60))  # from none to the most


def places(prompt: Sequence[int], words: Sequence[int]) -> list[int]:
    """Every place of the token sequence `words` in `prompt`, as indices of its tokens.

    Raises:
        ValueError: no words, or the prompt does not hold them.
    """
    found = [
        start + offset
        for start in range(len(prompt) - len(words) + 1)
        if words and list(prompt[start : start + len(words)]) == list(words)
        for offset in range(len(words))
    ]
    if not found:
        raise ValueError(
            f"{WHO}: the words are not in the prompt as its encoder reads it. Copy them from the prompt, whole words "
            "and with the same capitals."
        )
    return found


def share(q: Tensor, k: Tensor, chosen: Sequence[int]) -> Tensor:
    """The mean over heads of softmax(q k / sqrt(d)), summed over the chosen keys.

    Args:
        q: (B, heads, Q, d), after the position encoding, as k: (B, heads, L, d).
        chosen: indices of keys.
    Returns:
        (B, Q) float32 in [0, 1].
    """
    total = torch.zeros(q.shape[0], q.shape[2], device=q.device)
    for head in range(q.shape[1]):  # one at a time: all of them would be gigabytes at full size
        logits = q[:, head].float() @ k[:, head].float().transpose(1, 2) * q.shape[-1] ** -0.5  # (B, Q, L)
        total += logits.softmax(-1)[..., list(chosen)].sum(-1)
    return total / q.shape[1]


def mask(maps: Tensor, height: int, width: int, threshold: float = 0.0) -> Tensor:
    """Maps brought to a picture's size, the highest value 1.

    Args:
        maps: (B, h, w), not negative.
        threshold: what lies below this share of the highest value is 0 and the rest 1; 0 keeps all values.
    Returns:
        (B, height, width) in [0, 1].
    """
    most = maps.amax((1, 2), keepdim=True).clamp(min=1e-12)
    large = F.interpolate((maps / most)[:, None], (height, width), mode="bilinear", align_corners=False)[:, 0]
    return (large >= threshold).float() if threshold else large


def picture(masks: Tensor, below: Tensor | None = None) -> Tensor:
    """Masks (B, H, W) in colours, (B, H, W, 3); over a picture (B, H, W, 3) in grey where there is one."""
    stops = torch.tensor(COLOURS)
    place = masks.clamp(0, 1).cpu() * (len(stops) - 1)
    low = place.long().clamp(max=len(stops) - 2)
    colours = torch.lerp(stops[low], stops[low + 1], (place - low)[..., None])
    if below is None:
        return colours
    grey = below[..., :3].float().cpu().mean(-1, keepdim=True).expand(-1, -1, -1, 3)
    return torch.lerp(grey, colours, 0.25 + 0.5 * masks.cpu()[..., None])


def report(words: str, maps: Tensor) -> str:
    """How much of the attention goes to `words` in maps (B, h, w), for a person."""
    return f"'{words}' takes {100 * maps.mean():.2f} % of the attention, up to {100 * maps.max():.2f} % of a token's."
