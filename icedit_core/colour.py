"""How an editor shifted the colours of what it did not edit, and the way back.

A gain and an offset per colour are fitted on unedited pixels, from the edit to the source, robustly. They are then
applied to the edited pixels, so that no seam shows where the source's own pixels meet them.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

COARSE = 128  # px of the longer side that the fit looks at: means of many pixels are free of a codec's noise
LEAST = 0.02, 16  # unedited share of the picture, and cells, below which nothing is fitted
SHOWS = 0.6 / 255  # mean change of the colours below which there is none
GAINS, OFFSETS = (0.75, 1.33), 0.2  # beyond them it is the light that was edited
MOST_SAID = 2  # ways in which the colours are off that are named
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Colours:
    """Gain and offset per channel that turn the edit's colours into the source's, and what they change."""

    gain: tuple[float, ...] = (1.0, 1.0, 1.0)
    offset: tuple[float, ...] = (0.0, 0.0, 0.0)
    drift: tuple[float, ...] = (0.0, 0.0, 0.0)  # mean of the edit less the source, where unedited
    level: float = 0.5  # mean brightness there

    @property
    def identity(self) -> bool:
        """Whether nothing is changed."""
        return self.gain == (1.0, 1.0, 1.0) and self.offset == (0.0, 0.0, 0.0)

    def apply(self, image: Tensor, amount: float = 1.0) -> Tensor:
        """Correct (..., 3) RGB in [0, 1]; `amount` 0 returns it as it is, 1 corrects in full."""
        if self.identity or amount == 0:
            return image
        gain, offset = image.new_tensor(self.gain), image.new_tensor(self.offset)
        return (image * (1 + amount * (gain - 1)) + amount * offset).clamp(0, 1)

    def words(self) -> str:
        """What the edit did, such as "colours 3 % warmer, 2 % brighter", or "" if nothing."""
        if self.identity:
            return ""
        red, green, blue = self.drift
        light = sum(weight * value for weight, value in zip(LUMA, self.drift, strict=True))
        gain = sum(self.gain) / 3
        tones = [
            (red - blue, "warmer", "colder"),
            (light, "brighter", "darker"),
            (green - (red + blue) / 2, "greener", "more magenta"),
        ]
        parts = [(100 * value / max(self.level, 0.1), more, less) for value, more, less in tones]
        parts.append((100 * (1 / gain - 1), "more contrast", "less contrast"))
        parts = sorted((part for part in parts if abs(part[0]) >= 1), key=lambda part: -abs(part[0]))[:MOST_SAID]
        said = [f"{abs(value):.0f} % {more if value > 0 else less}" for value, more, less in parts]
        return "colours " + (", ".join(said) if said else "slightly off")


def fit(source: Tensor, edit: Tensor, unedited: Tensor) -> Colours:
    """Fit the colours of the edit to the source's.

    Args:
        source, edit: (H, W, 3) in [0, 1], the edit aligned.
        unedited: (H, W) in [0, 1], 1 where the edit changed nothing and has pixels.
    Returns:
        No change where too little is unedited, where none shows, and where the light itself was edited.
    """
    cells = _cells(source, edit, unedited)
    if cells is None:
        return Colours()
    there, here, weight = cells
    gains, offsets = [], []
    for channel in range(3):
        gain, offset = _line(here[:, channel], there[:, channel], weight)
        gains.append(gain)
        offsets.append(offset)
    if not all(GAINS[0] <= g <= GAINS[1] and abs(o) <= OFFSETS for g, o in zip(gains, offsets, strict=True)):
        return Colours()
    share = weight[:, None] / weight.sum()
    before, after = here, here * here.new_tensor(gains) + here.new_tensor(offsets)
    if float((share * (after - before).abs()).sum(0).amax()) < SHOWS:
        return Colours()
    drift = (share * (before - after)).sum(0).tolist()
    level = float((share * there).sum(0) @ there.new_tensor(LUMA))
    return Colours(tuple(gains), tuple(offsets), tuple(drift), level)


def _cells(source: Tensor, edit: Tensor, unedited: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """Means over the unedited pixels of cells: source and edit (N, 3), and the cells' unedited shares (N,)."""
    side = max(1, -(-max(source.shape[:2]) // COARSE))
    mask = unedited.float()[None]
    share = F.avg_pool2d(mask, side, ceil_mode=True)[0]
    means = [
        F.avg_pool2d(x.float().movedim(-1, 0) * mask, side, ceil_mode=True) / (share + 1e-6) for x in (source, edit)
    ]
    kept = share > 0.25
    if float(unedited.float().mean()) < LEAST[0] or int(kept.sum()) < LEAST[1]:
        return None
    return means[0][:, kept].T, means[1][:, kept].T, share[kept]


def _line(x: Tensor, y: Tensor, weight: Tensor) -> tuple[float, float]:
    """Gain and offset of y = gain * x + offset by reweighted least squares: cells far from the line do not count."""
    gain, offset, ridge = 1.0, float((weight * (y - x)).sum() / weight.sum()), 1e-4
    for tolerance in (0.1, 0.05, 0.02, 0.02, 0.01, 0.01):
        robust = weight / (1 + ((y - gain * x - offset) / tolerance).square()).square()
        total = robust.sum() + 1e-9
        mean_x, mean_y = (robust * x).sum() / total, (robust * y).sum() / total
        spread = (robust * (x - mean_x).square()).sum() / total
        gain = float(((robust * (x - mean_x) * (y - mean_y)).sum() / total + ridge) / (spread + ridge))  # 1 if in doubt
        offset = float(mean_y - gain * mean_x)
    return gain, offset
