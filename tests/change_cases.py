"""Demo edits with their truth, thin, faint and whole-image ones among them, and how well a change mask finds them."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

SHARES = (36, 7, 7)  # of every 50: the demo's six families in turn, thin lines, faint recolours


@dataclass(frozen=True)
class Case:
    """Source and target (1, h, w, 3); `truth` (1, h, w) bool, the pixels that differ visibly (by over 0.06)."""

    kind: str
    source: torch.Tensor
    target: torch.Tensor

    @property
    def truth(self):
        return (self.source - self.target).abs().amax(-1) > 0.06


@dataclass(frozen=True)
class Found:
    kind: str
    recall: float
    iou: float
    counts: tuple[int, int, int]  # hits, false, missed


def cases(scenes, count=100, size=64, first=0):
    """Edits that training never saw; `scenes` is the demo's module."""
    made = []
    for i in range(first, first + count):
        turn = i % sum(SHARES)
        if turn < SHARES[0]:
            example = scenes.make(scenes.UNSEEN + i, size, scenes.TASKS[turn % len(scenes.TASKS)])
            made.append((example.task, example.source, example.target))
        elif turn < SHARES[0] + SHARES[1]:
            made.append(thin(scenes, i, size))
        else:
            made.append(faint(scenes, i, size))
    return [Case(kind, torch.from_numpy(a)[None], torch.from_numpy(b)[None]) for kind, a, b in made]


def thin(scenes, i, size):
    """A line of 2.5 to 4 px in 64 is drawn, erased or recoloured."""
    rng = np.random.default_rng(10**6 + i)
    plain = scenes.make(scenes.UNSEEN + 5000 + i, size, "recolour").source
    angle, width, reach = rng.uniform(0, np.pi), rng.uniform(2.5, 4.0) / 64, rng.uniform(0.2, 0.45)
    across, down = rng.uniform(0.35, 0.65, 2)
    place = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = place[None, :] - across, place[:, None] - down
    along, aside = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    outside = np.maximum(np.abs(aside) - width / 2, np.abs(along) - reach)
    cover = np.clip(0.5 - outside * size, 0, 1)[..., None].astype(np.float32)
    colours = np.array(list(scenes.draw.SHAPE_COLOURS.values()), np.float32)
    one, other = colours[rng.choice(len(colours), 2, replace=False)]
    lined, relined = plain + (one - plain) * cover, plain + (other - plain) * cover
    kind = ("drawn", "erased", "recoloured")[i % 3]
    pair = {"drawn": (plain, lined), "erased": (lined, plain), "recoloured": (lined, relined)}[kind]
    return f"thin {kind}", *pair


def faint(scenes, i, size):
    """A whole shape gets lighter or darker by 0.08 to 0.16 in one to three channels."""
    rng = np.random.default_rng(10**6 + i)
    for attempt in range(50):
        example = scenes.make(scenes.UNSEEN + 6000 + 50 * i + attempt, size, "remove")
        shape = np.abs(example.source - example.target).max(-1) > 0.1
        channels = np.array([1, rng.integers(0, 2), rng.integers(0, 2)])[rng.permutation(3)]
        away = np.where(np.median(example.source[shape], 0) > 0.5, -1, 1)
        step = (rng.uniform(0.08, 0.16) * channels * away).astype(np.float32)
        target = np.clip(example.source + shape[..., None] * step, 0, 1)
        if (np.abs(target - example.source).max(-1)[shape] > 0.07).mean() > 0.98:
            return "faint", example.source, target
    raise RuntimeError(f"no faint edit for {i}")


def coarse_codec(images, step=0.05):
    """A stand-in for an autoencoder of about 33 dB: 8x8 cosine blocks, coarsely rounded. (B, h, w, 3) in and out."""
    k = torch.arange(8.0)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * torch.pi / 16) / 2
    basis[0] /= 2**0.5
    b, h, w, c = images.shape
    blocks = images.movedim(-1, 1).reshape(b, c, h // 8, 8, w // 8, 8).transpose(3, 4)
    rounding = step * (1 + 0.6 * (k[:, None] + k))
    blocks = basis.T @ ((basis @ blocks @ basis.T / rounding).round() * rounding) @ basis
    return blocks.transpose(3, 4).reshape(b, c, h, w).movedim(1, -1).clamp(0, 1)


def soft_codec(images, sigma=0.9, noise=0.01):
    """Another, of about 28 dB: a blur and a little noise."""
    k = torch.exp(-(torch.arange(-3.0, 4.0) ** 2) / (2 * sigma**2))
    k = k / k.sum()
    planes = F.pad(images.movedim(-1, 1), (3, 3, 3, 3), mode="replicate")
    planes = F.conv2d(planes, (k[:, None] * k).expand(3, 1, 7, 7), groups=3)
    planes = planes + noise * torch.randn(planes.shape, generator=torch.Generator().manual_seed(0))
    return planes.movedim(1, -1).clamp(0, 1)


def measure(case, mask):
    """Compare a change mask (1, h, w), above 0 where changed, with the truth."""
    mask, truth = mask > 0, case.truth
    hits, false, missed = (int(x.sum()) for x in (mask & truth, mask & ~truth, truth & ~mask))
    return Found(case.kind, hits / max(1, hits + missed), hits / max(1, hits + false + missed), (hits, false, missed))


def summary(found):
    """Recall and IoU over all pixels, and the means over edits."""
    hits, false, missed = (sum(f.counts[i] for f in found) for i in range(3))
    return {
        "recall": hits / (hits + missed),
        "iou": hits / (hits + false + missed),
        "mean recall": float(np.mean([f.recall for f in found])),
        "mean iou": float(np.mean([f.iou for f in found])),
    }


def table(found):
    """The summary and one line for each kind of edit."""
    lines = [", ".join(f"{k} {v:.4f}" for k, v in summary(found).items())]
    for kind in sorted({f.kind for f in found}):
        rows = [f for f in found if f.kind == kind]
        recall, iou = np.mean([f.recall for f in rows]), np.mean([f.iou for f in rows])
        lines.append(f"{kind:16} {len(rows):3} edits  recall {recall:.3f}  IoU {iou:.3f}")
    return "\n".join(lines)
