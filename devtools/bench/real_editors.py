"""Published pairs of real editors: is what counts as changed found, and nothing else.

    python dev.py bench real-editors [--pictures FOLDER] [--only NAME ...] [--sheet FOLDER] [--out benchmarks]

What counts was labelled by eye before (real_editors.json). The pictures are those of ComfyUI's template packages, and
of a folder that --pictures names; a pair that is not there is left out and said so. A local edit is right if at least
95 % of the found change lies inside its boxes and at least 90 % of the pixels there that differ by more than 0.1 (edit
aligned, its colours matched) are found; an edit of the whole picture is right if it is called that. --sheet writes
source, edit, found change and boxes of every pair, to look at.
"""

from __future__ import annotations

import argparse
import logging
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from icedit_core.keep import Cut, find_edit

from . import editor_pairs, real_editors_page
from .editor_pairs import EditorPair
from .progress import Progress, code, digest

ROOT = Path(__file__).resolve().parents[2]
DIFFERS = 0.1  # in RGB of [0, 1]
CALLED = {"part": "local", "whole": "whole", "lost": "not trusted"}
INSIDE, FOUND = 0.95, 0.9  # least shares of a right answer


class Answer(NamedTuple):
    """What the pack says about a pair."""

    verdict: str  # local, whole or not trusted
    mask: np.ndarray  # (H, W) in [0, 1], how much of the edit each pixel takes
    aligned: np.ndarray  # (H, W, 3) in [0, 1], the edit on the source, its colours matched
    words: str


def answer(source: torch.Tensor, edit: torch.Tensor) -> Answer:
    """Ask Keep Unedited at its defaults, without a VAE; pictures (H, W, 3) in [0, 1]."""
    found, aligned = find_edit(source, edit, None, None, Cut(), lambda: None)
    return Answer(CALLED[found.kind], found.weight.numpy(), found.colours.apply(aligned).numpy(), found.words())


def counted(pair: EditorPair, source: np.ndarray, said: Answer) -> dict:
    """The figures of one pair, and whether it is right."""
    found, inside = said.mask > 0, pair.mask(*said.mask.shape)
    differs = inside & (np.abs(said.aligned - source).max(-1) > DIFFERS)
    share_inside = float((found & inside).sum() / found.sum()) if found.any() else 0.0
    share_found = float((found & differs).sum() / differs.sum()) if differs.any() else 1.0
    right = said.verdict == pair.kind
    if pair.kind == "local":
        right = right and share_inside >= INSIDE and share_found >= FOUND
    return {
        "name": pair.name,
        "editor": pair.editor,
        "kind": pair.kind,
        "verdict": said.verdict,
        "right": right,
        "boxes": round(float(inside.mean()), 4),
        "changed": round(float(found.mean()), 4),
        "inside": round(share_inside, 4),
        "found": round(share_found, 4),
        "words": said.words,
    }


def picture(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255)


def measured(pair: EditorPair, files: tuple[Path, Path], sheet: Path | None) -> dict:
    source, edit = (picture(path) for path in files)
    said = answer(source, edit)
    if sheet:
        real_editors_page.row(pair, source.numpy(), said.aligned, said.mask).save(sheet / f"{pair.name}.png")
    return counted(pair, source.numpy(), said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, help="the folder of the pairs that no package holds")
    parser.add_argument("--only", nargs="+", default=[], help="these pairs alone; no figures are written")
    parser.add_argument("--sheet", type=Path, help="also write a picture of every pair to this folder")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    pairs = [pair for pair in editor_pairs.read() if not args.only or pair.name in args.only]
    present = {pair: files for pair in pairs if (files := editor_pairs.files(pair, args.pictures))}
    if args.sheet:
        args.sheet.mkdir(parents=True, exist_ok=True)
    made = {"code": code(), "labels": digest(editor_pairs.FILE.read_bytes()), "sheet": str(args.sheet)}
    with Progress("real-editors", len(present), made) as progress:
        records = [
            progress.get(pair.name, partial(measured, pair, files, args.sheet)) for pair, files in present.items()
        ]
        missing = [pair.name for pair in pairs if pair not in present]
        for line in real_editors_page.lines(records, missing):
            logging.info("%s", line)
        if not args.only:
            real_editors_page.write(args.out, records, missing)


if __name__ == "__main__":
    main()
