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
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from demo import scenes
from demo.model_files import hashes
from demo.scenes.draw import caption
from devtools.bench import inversion_page, sampled_scenes
from devtools.bench.progress import Progress, code
from devtools.bench.sampled_scenes import psnr, verdicts
from workshop.host_model import HostModel

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


def measured(examples, editor: Editor, method: str, masked: bool) -> list[dict]:
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
    runs = {
        name: partial(measured, editor=editor, method=name, masked=False) for name in ("ceiling", "noise", *METHODS)
    }
    runs |= {f"{name}, mask": partial(measured, editor=editor, method=name, masked=True) for name in METHODS}
    made = {"weights": hashes(), "steps": args.steps, "batch": BATCH, "grown": GROWN, "code": code()}
    with Progress("inversion", len(runs) * len(sampled_scenes.batches(args.count, BATCH)), made) as progress:
        rows = sampled_scenes.rows(progress, examples, BATCH, runs)
        facts = sampled_scenes.facts(args.count, args.steps, grown=GROWN)
        inversion_page.write(facts, [e.task for e in examples], rows, args.out)


if __name__ == "__main__":
    main()
