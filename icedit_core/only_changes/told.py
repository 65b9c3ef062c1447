"""What was computed, in words and as a picture."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

COLOUR = (1.0, 0.35, 0.1)  # of what was computed most often
SIDE = 512  # px: a small picture is enlarged to this


class Step(NamedTuple):
    """A step of a sampling. kind: full, short or reused; share: of the picture's tokens, 0 to 1; chosen: (N,) bool."""

    number: int
    kind: str
    share: float
    seconds: float
    chosen: Tensor | None = None


def report(how: str, steps: Sequence[Step], kept_bytes: int, where: str, notes: Sequence[str] = ()) -> str:
    """Lines for a person.

    Args:
        how: method, selector and threshold.
        kept_bytes, where: the most that the keys and values took, and the device.
    """
    if not steps:
        return "\n".join([f"{how}: no step was sampled.", *notes])
    share = 100 * sum(step.share for step in steps) / len(steps)
    full = [step for step in steps if step.kind == "full"]
    lines = [
        f"{how}: {share:.0f} % of the picture's tokens computed in {len(steps)} steps, {len(full)} of them in full."
    ]
    lines.append("Step by step, %: " + " ".join(f"{100 * step.share:.0f}" for step in steps))
    lines += filter(None, [_seconds(steps)])
    if kept_bytes:
        lines.append(f"Kept keys and values: {kept_bytes / 2**20:.4g} MiB on {where}, now freed.")
    return "\n".join([*lines, *notes])


def _seconds(steps: Sequence[Step]) -> str:
    by_kind = {kind: [step.seconds for step in steps if step.kind == kind] for kind in ("full", "short", "reused")}
    # The first call of a run also loads and warms up.
    if len(by_kind["full"]) > 1 and steps[0].kind == "full":
        by_kind["full"] = by_kind["full"][1:]
    means = {kind: sum(times) / len(times) for kind, times in by_kind.items() if times}
    if "full" not in means:
        return ""
    text = "Seconds a step: " + ", ".join(f"{kind} {mean:.3g}" for kind, mean in means.items())
    if len(means) > 1:
        spent = sum(means[step.kind] for step in steps)
        text += f"; the whole takes {len(steps) * means['full'] / spent:.2f} times as long without this node"
    return text + "."


def picture(source: Tensor, shares: Tensor) -> Tensor:
    """The region over the source: the more often a part was computed, the more of the colour.

    Args:
        source: (h, w, 3) in [0, 1].
        shares: (rows, columns) in [0, 1], of the steps that computed each token.
    Returns:
        (1, H, W, 3), the longer side at least 512 px.
    """
    scale = max(1, -(-SIDE // max(source.shape[:2])))
    planes = source.float().cpu().movedim(-1, 0)[None].clamp(0, 1)
    planes = F.interpolate(planes, scale_factor=scale, mode="bilinear", align_corners=False)
    weight = F.interpolate(shares.float().cpu()[None, None], size=planes.shape[-2:], mode="nearest")
    grey = (planes + planes.mean(1, keepdim=True)) * 0.3 + 0.2  # paler, so that the colour stands out
    colour = torch.tensor(COLOUR).view(1, 3, 1, 1)
    weight = 0.75 * weight
    return (grey * (1 - weight) + colour * weight).movedim(1, -1)
