"""Five edits of one photograph through an autoencoder, one after the other, with and without Keep Unedited.

    python dev.py bench keep-turns [--pictures FOLDER] [--count 4] [--vae ENCODER DECODER] [--out benchmarks]

Every turn edits a part of the picture that the turn before left (any_editor.py: something pasted, removed, recoloured,
a word written), and decodes the encoded picture. The chains of a photograph differ in what is done with that: it goes
on as it is, or through Keep Unedited without a VAE, with it, or with a mask around each edit. Photographs and
autoencoder are those of keep_any.py, at up to 640 px.
*Outside*: pixels that no edit up to then was to change (with masks: that lie outside all masks). *Differ*: of those,
the share that is not the source's in 8 bits any more. *Off*: by how much these are off on average, in steps of 255, and
*once*: by how much encoding and decoding was off there, in the last turn that changed them. *Made*: of the pixels that
a turn's edit changes by more than 8/255, those that are not the former picture's any more.
"""

from __future__ import annotations

import argparse
import logging
import random
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from icedit_core.keep import keep
from icedit_core.pixels import maximum
from workshop import report
from workshop.machine import describe

from . import any_editor
from .any_editor import KINDS, Codec
from .keep_any import DIFFERS, autoencoder, levels, photographs, picture
from .progress import Progress, code

ROOT = Path(__file__).resolve().parents[2]
SIDE, TURNS = 640, 5
SHARES = (0.01, 0.06)  # of the picture, edited in one turn: after five most of it is to be as it was
MASK = 8  # px that a mask is larger than its edit
CHAINS = ("handed on", "kept, no VAE", "kept, VAE", "kept, masks")
BARS = {1: 0.03, 5: 0.06}  # turn -> largest share outside the edits that may differ


class Turn(NamedTuple):
    """A picture after a turn, and what is to be counted in it."""

    image: Tensor  # (H, W, 3) in [0, 1], 8 bits
    outside: Tensor  # (H, W) bool, where no edit up to then was to change anything
    once: Tensor  # (H, W), what the autoencoder lost in the last turn that changed the pixel
    made: float  # share of the turn's edit that is in the picture


def chain(name: str, seed: int, source: Tensor, others: list[Tensor], codec: Codec) -> list[Turn]:
    """All turns of one chain of `CHAINS`; the same seed draws the same edits, of which some paste from `others`."""
    through = None if name != "kept, VAE" else lambda images: codec(images[0])[None]
    outside = torch.ones(source.shape[:2], dtype=torch.bool)
    image, once = source, torch.zeros(source.shape[:2])
    turns: list[Turn] = []
    for number in range(TURNS):
        rng = random.Random(seed * TURNS + number)
        kind = KINDS[(seed + number) % len(KINDS)]
        target = any_editor.eight_bit(any_editor.local(rng, kind, image, others[number % len(others)], SHARES))
        edit = any_editor.eight_bit(codec(target))
        edited = (target != image).any(-1)
        if name == "kept, masks":
            mask = maximum(edited.float()[None], MASK)
            outside &= mask[0] == 0
            kept = keep(image[None], edit[None], mask=mask).image[0]
        else:
            outside &= ~edited
            kept = edit if name == "handed on" else keep(image[None], edit[None], codec=through).image[0]
        after = any_editor.eight_bit(kept)
        changed, clear = (after != image).any(-1), (target - image).abs().amax(-1) > DIFFERS
        once = torch.where(changed, (edit - target).abs().amax(-1), once)
        turns.append(Turn(after, outside.clone(), once, float(changed[clear].float().mean())))
        image = after
    return turns


def counted(source: Tensor, turns: list[Turn]) -> list[dict]:
    """What differs from the source after each turn."""
    found = []
    for image, outside, once, made in turns:
        apart = (levels(image) - levels(source)).abs().amax(-1)
        differ = outside & (apart > 0)
        found.append(
            {
                "made": made,
                "outside": float(outside.float().mean()),
                "differ": float(differ.sum() / outside.sum().clamp(min=1)),
                "off": float(apart[differ].float().mean()) if differ.any() else 0.0,
                "once": 255 * float(once[differ].mean()) if differ.any() else 0.0,
            }
        )
    return found


def measured(name: str, seed: int, paths: list[Path], codec: Codec) -> list[dict]:
    """The figures of one chain on one photograph."""
    source, *others = (picture(paths[(seed + step) % len(paths)], SIDE) for step in range(TURNS + 1))
    return counted(source, chain(name, seed, source, others, codec))


def page(records: dict[str, list[list[dict]]], codec: str, machine: str) -> str:
    """The figures in Markdown; `records` has the turns of every photograph, chain by chain."""
    count = len(next(iter(records.values())))
    several = f"{count} photographs" if count > 1 else "One photograph"
    lines = [
        "# Five edits of one photograph, one after the other",
        "",
        f"{several} (longer side up to {SIDE} px); every turn edits {SHARES[0]:.0%} to {SHARES[1]:.0%} of "
        f"the picture that the turn before left, and {codec} encodes and decodes it. *Differ*: of the pixels that no "
        "edit up to then was to change (with masks: outside all masks), those that are not the source's in 8 bits any "
        "more; mean and largest over the photographs. *Off*: by how much they are off on average, of 255, and *once*: "
        "by how much encoding and decoding was off there, in the last turn that changed them. *Made*: of the pixels "
        "that the turn's edit changes by more than 8/255, those that are not the former picture's any more. To be "
        f"held: {BARS[1]:.0%} after one turn, {BARS[5]:.0%} after five, off by no more than once; with masks nothing.",
        "",
    ]
    table = []
    for name, chains in records.items():
        for number in range(TURNS):
            rows = [turns[number] for turns in chains]
            keys = ("differ", "off", "once", "made")
            differ, off, once, made = (np.array([row[key] for row in rows]) for key in keys)
            figures = [f"{differ.mean():.2%}", f"{differ.max():.2%}", f"{off.mean():.1f}", f"{once.mean():.1f}"]
            table.append([name, number + 1, *figures, f"{made.mean():.1%}"])
    lines += report.table(["what each turn hands on", "turn", "differ", "largest", "off", "once", "made"], table)
    return "\n".join([*lines, "", f"On {machine}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, help="a folder of photographs, PNG, JPEG or WebP")
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--vae", type=Path, nargs=2, help="the encoder and the decoder of taef2")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    paths = photographs(args.pictures)
    codec = autoencoder(*args.vae) if args.vae else any_editor.jpeg
    named = "FLUX.2's tiny autoencoder" if args.vae else "JPEG at quality 80"
    made = {"code": code(), "pictures": [path.name for path in paths], "codec": named}
    with Progress("keep-turns", args.count * len(CHAINS), made) as progress:
        records: dict[str, list[list[dict]]] = {name: [] for name in CHAINS}
        for seed in range(args.count):
            for name in CHAINS:
                records[name].append(progress.get(f"{seed} {name}", partial(measured, name, seed, paths, codec)))
        write(args.out, records, [path.name for path in paths[: args.count]], named)


def write(out: Path, records: dict[str, list[list[dict]]], names: list[str], codec: str) -> None:
    machine = describe()
    figures = {"machine": machine, "codec": codec, "photographs": names, "chains": records}
    text = page(records, codec, machine)
    report.write(out, "keep_turns", figures, text)
    logging.info("%s", text)


if __name__ == "__main__":
    main()
