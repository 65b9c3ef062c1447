"""Keep Unedited on photographs that a synthetic editor with known truth edited (any_editor.py).

    python dev.py bench keep-any [--pictures FOLDER] [--count 48] [--vae ENCODER DECODER] [--out benchmarks]

The photographs are those of FOLDER, the sources in ComfyUI's template packages, and scikit-image's, if it is installed.
They are reduced to 768 px. Without --vae (FLUX.2's tiny autoencoder, taef2) JPEG stands in for the autoencoder; with it
the node is measured with that VAE connected and without. A run that is stopped goes on where it was.
*Kept*: of the pixels that source and target share in 8 bits, those that the result has too. *Recall*: of the pixels
that differ by more than 8/255, those that are not the source's any more. *Ring*: mean difference from the target
within 16 px outside the true edit, in steps of 255. *Misplaced*: mean error of the registration over the picture.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from icedit_core.keep import keep
from icedit_core.pixels import maximum
from icedit_core.registration import register
from workshop import report
from workshop.machine import describe, processor

from . import any_editor, editor_pairs
from .any_editor import Codec, Made
from .progress import Progress, code

ROOT = Path(__file__).resolve().parents[2]
SIDE, LEAST = 768, 300  # px of the longer side, and of the shorter
SCIKIT_IMAGE = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg", "retina.jpg")
DIFFERS, RING = 8 / 255, 16


def photographs(folder: Path | None) -> list[Path]:
    """All pictures that there are on this machine, in a fixed order."""
    found = sorted(folder.iterdir()) if folder else []
    if (spec := importlib.util.find_spec("skimage")) and spec.origin:
        found += [Path(spec.origin).parent / "data" / name for name in SCIKIT_IMAGE]
    pairs = (editor_pairs.files(pair, folder) for pair in editor_pairs.read() if pair.root == "templates")
    found += [files[0] for files in pairs if files]
    found = [path for path in dict.fromkeys(found) if path.suffix in (".png", ".jpg", ".webp")]
    if not found:
        raise SystemExit("keep-any: no photographs on this machine. Name a folder of them with --pictures.")
    return found


def picture(path: Path, side: int = SIDE) -> Tensor:
    """A file as (H, W, 3) in [0, 1], reduced to at most `side` px."""
    image = Image.open(path).convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image)).float() / 255


def autoencoder(encoder: Path, decoder: Path) -> Codec:
    """What FLUX.2's tiny autoencoder makes of a picture (H, W, 3), with the host's code.

    In bfloat16, as on GPUs, where that is fast: a fifth of float32's time with AMX, ten times it without.
    """
    sys.path.append(os.environ["COMFYUI_PATH"])
    from comfy.cli_args import args  # noqa: PLC0415 (the host's, as the next)

    args.cpu = not torch.cuda.is_available()
    from comfy.taesd.taesd import TAESD  # noqa: PLC0415

    model = TAESD(str(encoder), str(decoder), latent_channels=128).eval()
    dtype = torch.bfloat16 if "with AMX" in processor() else torch.float32
    model.to(dtype, memory_format=torch.channels_last)

    @torch.inference_mode()
    def codec(image: Tensor) -> Tensor:
        height, width = image.shape[:2]
        planes = image.movedim(-1, 0)[None].to(dtype)
        planes = torch.nn.functional.pad(planes, (0, -width % 16, 0, -height % 16), mode="replicate")
        planes = planes.contiguous(memory_format=torch.channels_last)
        decoded = model.decode(model.encode(planes * 2 - 1)).float() / 2 + 0.5
        return decoded[0, :, :height, :width].movedim(0, -1).clamp(0, 1).clone()

    return codec


def counted(made: Made, result: Tensor) -> dict[str, float]:
    """Kept, recall and ring of one result (H, W, 3)."""
    source, target, result = (levels(x) for x in (made.source, made.target, result))
    same = (source == target).all(-1)
    differs = (source - target).abs().amax(-1) > DIFFERS * 255
    kept = (result == source).all(-1)
    ring = (maximum((~same).float()[None], RING)[0] > 0) & same
    return {
        "kept": float(kept[same].float().mean()),
        "recall": float((~kept)[differs].float().mean()),
        "ring": float((result - target)[ring].abs().float().mean()),
    }


def levels(image: Tensor) -> Tensor:
    return (image * 255).round().int()


def measured(seed: int, paths: list[Path], codec: Codec | None) -> dict:
    """One edit, and what the pack makes of it."""
    path, other = (paths[i % len(paths)] for i in (seed, seed * 7 + 3))
    if other == path:
        other = paths[(seed + 1) % len(paths)]
    made = any_editor.make(seed, picture(path), picture(other), codec or any_editor.jpeg)
    place = register(made.source, made.edit)
    record: dict = {
        "photograph": path.name,
        "kind": made.kind,
        "format": made.format,
        "misplaced": made.misplaced(place),
        "trusted": place.trusted,
        "runs": {},
    }
    batched = None if codec is None else lambda images: codec(images[0])[None]
    for name, one in {"no VAE": None, **({"VAE": batched} if batched else {})}.items():
        start = time.monotonic()
        kept = keep(made.source[None], made.edit[None], codec=one)
        seconds = round(time.monotonic() - start, 2)
        record["runs"][name] = {**counted(made, kept.image[0]), "seconds": seconds, "words": kept.report[0]}
    return record


def page(records: list[dict], codec: str, machine: str) -> str:
    """The figures in Markdown."""
    off = np.array([r["misplaced"] for r in records])
    lines = [
        "# Keep Unedited on photographs, with a synthetic editor",
        "",
        f"{len(records)} edits of {len({r['photograph'] for r in records})} photographs (longer side up to {SIDE} px) "
        f"by the synthetic editor of `devtools/bench/any_editor.py`, decoded by {codec}. Registration error, mean over "
        f"the picture: median {np.median(off):.3f} px, 95th percentile {np.quantile(off, 0.95):.3f} px, largest "
        f"{off.max():.3f} px; {sum(r['trusted'] for r in records)} of {len(records)} trusted. Kept: of the pixels that "
        "source and target share in 8 bits, those that the result has too. Recall: of those that differ by more than "
        "8/255, those that are not the source's any more. Ring: mean difference from the target within 16 px outside "
        "the edit, of 255. Means over all edits; every edit counts.",
        "",
    ]
    table = []
    for name in records[0]["runs"]:
        for group in ("all", *any_editor.KINDS, *any_editor.FORMATS):
            rows = [r["runs"][name] for r in records if group in ("all", r["kind"], r["format"])]
            if rows:
                kept, recall, ring = (np.mean([row[key] for row in rows]) for key in ("kept", "recall", "ring"))
                table.append([name, group, len(rows), f"{kept:.1%}", f"{recall:.1%}", f"{ring:.2f}"])
    lines += report.table(["node", "edit", "edits", "kept", "recall", "ring"], table)
    return "\n".join([*lines, "", f"On {machine}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, help="a folder of photographs, PNG, JPEG or WebP")
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--vae", type=Path, nargs=2, help="the encoder and the decoder of taef2")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    paths = photographs(args.pictures)
    codec = autoencoder(*args.vae) if args.vae else None
    named = "FLUX.2's tiny autoencoder" if codec else "JPEG at quality 80"
    made = {"code": code(), "pictures": [path.name for path in paths], "codec": named}
    with Progress("keep-any", args.count, made) as progress:
        records = [progress.get(str(i), partial(measured, i, paths, codec)) for i in range(args.count)]
        machine = describe()
        figures = {"machine": machine, "codec": named, "edits": records}
        text = page(records, named, machine)
        report.write(args.out, "keep_any", figures, text)
        logging.info("%s", text)


if __name__ == "__main__":
    main()
