"""Every method of ICEdit DirectEdit on scenes that the demo's base model never saw, by captions alone.

    python dev.py bench inversion [--count 300] [--steps 16] [--out benchmarks]

The base is the demo's FLUX Fill with everything masked, which makes it a text-to-image model; no adapter, no training.
Source and target captions are the scene's own. Each method runs without a mask and with one: the truly edited pixels,
grown by 4 px, the same for all. Values are not injected. Pictures from noise by the target's caption alone stand beside
them, and the target after encoding and decoding, which is the ceiling. The reconstruction is what a method makes of the
source's caption on both sides. Figures are reported, not asserted. A run that was stopped goes on with what it had.
Writes inversion.json and inversion.md.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from demo import scenes
from demo.model_files import hashes
from demo.scenes.draw import caption
from devtools.bench import inversion_page
from devtools.bench.progress import Progress, code
from workshop.host_model import HostModel
from workshop.machine import describe

ROOT = Path(__file__).resolve().parents[2]
BATCH = 20
GROWN = 4  # px around the edited pixels that the mask holds too
METHODS = ("directedit", "euler", "rf_solver", "flowedit")
START = {"flowedit": 4 / 28}  # share of the steps left out, as published
SETTINGS = {
    "source_guidance": 1.0,
    "target_guidance": 2.0,
    "injected_steps": 0,
    "blocks": "published",
    "tokens": "all",
    "schedule": "published",
    "mask_pooling": "max",
    "dilation": 0,
    "values": "auto",
    "seed": 0,
}
log = logging.getLogger("inversion")


class Editor:
    """The demo's base in this process, everything masked, through the node."""

    def __init__(self, steps: int):
        self.host, self.steps = HostModel(adapter=None), steps
        self.node = importlib.import_module(f"{self.host.pack()}.nodes.directedit").ICEditDirectEdit
        import nodes

        self.inpaint = nodes.InpaintModelConditioning().encode
        self.sample = nodes.common_ksampler

    @torch.no_grad()
    def prepared(self, examples):
        """Conditioning of the source's and of the target's captions, and the latent."""
        pictures = torch.stack([torch.from_numpy(e.source) for e in examples])
        sides = [[caption(e.edit.before) for e in examples], [e.caption for e in examples]]
        source, target = (self.host.conditioning(texts, in_context=False) for texts in sides)
        everything = torch.ones(pictures.shape[:3])
        return self.inpaint(source, target, pictures, self.host.vae, everything, False)

    @torch.no_grad()
    def edit(self, examples, method: str, mask: torch.Tensor | None):
        """Decoded edits and reconstructions (B, H, W, 3), relative errors of the reconstructions' latents."""
        source, target, latent = self.prepared(examples)
        start = round(START.get(method, 0) * self.steps)
        given = {"model": self.host.base, "source": source, "target": target, "latent": latent, "mask": mask}
        settings = SETTINGS | {"method": method, "steps": self.steps, "start_step": start}
        out = self.node.PREPARE_CLASS_CLONE(None).execute(**given, **settings)
        edited, again = (one["samples"] for one in out.args)
        off = (again - latent["samples"]).flatten(1).norm(dim=1) / latent["samples"].flatten(1).norm(dim=1)
        return self.decoded(edited), self.decoded(again), off.tolist()

    @torch.no_grad()
    def from_noise(self, examples):
        """By the target's caption alone."""
        _, target, latent = self.prepared(examples)
        how = (self.steps, 1.0, "euler", "simple")
        done = self.sample(self.host.base, 0, *how, target, target, latent)[0]
        return self.decoded(done["samples"])

    @torch.no_grad()
    def decoded(self, latents) -> np.ndarray:
        return self.host.vae.decode(latents).clamp(0, 1).numpy()

    @torch.no_grad()
    def autoencoded(self, pictures) -> np.ndarray:
        return self.decoded(self.host.vae.encode(torch.stack([torch.from_numpy(one) for one in pictures])))


def mask_of(examples) -> torch.Tensor:
    """(B, H, W), 1 on the edited pixels and around them."""
    changed = np.stack([scenes.changed_pixels(e.source, e.target) for e in examples])
    mask = torch.from_numpy(changed).float()[:, None]
    return F.max_pool2d(mask, 2 * GROWN + 1, stride=1, padding=GROWN)[:, 0]


def verdicts(examples, edits) -> list[dict]:
    found = [example.check(edit) for example, edit in zip(examples, edits, strict=True)]
    return [{"success": v.success, "inside": v.inside, "outside": v.outside} for v in found]


def psnr(a: np.ndarray, b: np.ndarray) -> list[float]:
    """Peak signal to noise in dB of each of (B, H, W, 3), 99 where they are equal."""
    squares = np.square(a - b).reshape(len(a), -1).mean(1)
    return [99.0 if s == 0 else float(-10 * np.log10(s)) for s in squares]


def measured(editor: Editor, examples, method: str, masked: bool) -> list[dict]:
    """One row for each scene."""
    if method == "noise":
        return verdicts(examples, editor.from_noise(examples))
    if method == "ceiling":
        return verdicts(examples, editor.autoencoded([e.target for e in examples]))
    start = time.perf_counter()
    edits, again, off = editor.edit(examples, method, mask_of(examples) if masked else None)
    seconds = (time.perf_counter() - start) / len(examples)
    near = psnr(again, editor.autoencoded([e.source for e in examples]))
    rows = verdicts(examples, edits)
    extra = zip(off, near, strict=True)
    return [row | {"latent": o, "psnr": p, "seconds": seconds} for row, (o, p) in zip(rows, extra, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300, help="number of unseen scenes")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    args = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    editor, examples = Editor(args.steps), scenes.unseen(args.count)
    runs = [("ceiling", False), ("noise", False), *((m, masked) for masked in (False, True) for m in METHODS)]
    parts = [range(at, min(at + BATCH, args.count)) for at in range(0, args.count, BATCH)]
    made = {"weights": hashes(), "steps": args.steps, "batch": BATCH, "grown": GROWN, "code": code()}
    with Progress("inversion", len(runs) * len(parts), made) as progress:
        rows: dict[str, list[dict]] = {}
        for part in parts:
            chosen = [examples[i] for i in part]
            for method, masked in runs:
                name = f"{method}, mask" if masked else method
                key = f"{name} {part.start}-{part.stop}"
                rows[name] = rows.get(name, []) + progress.get(
                    key, lambda c=chosen, m=method, k=masked: measured(editor, c, m, k)
                )
        facts = {
            "scenes": args.count,
            "first_seed": scenes.UNSEEN,
            "steps": args.steps,
            "grown": GROWN,
            "sha256": hashes(),
            "machine": describe("no GPU used"),
            "torch": torch.__version__,
        }
        inversion_page.write(facts, [e.task for e in examples], rows, args.out)


if __name__ == "__main__":
    main()
