"""What each part of the method is worth on the demo model: every trained adapter on the same scenes it never saw.

    python dev.py bench ablation [--count 600] [--only NAME ...] [--workers 2] [--edits DIR] [--out benchmarks]

Writes ablation.json, ablation.md and ablation.png. A third of the scenes ask for a colour, shape and task that training
never showed together, a third use a wording that training never saw. Figures are reported, not asserted. With --only,
the other variants keep the figures that the file has for the same weights; figures of earlier weights stand apart until
all variants are measured again. Workers measure variants side by side. A run that was stopped goes on with the variants
it had measured. With --edits every edit is kept as DIR/VARIANT/SCENE.png, for `bench eval-scenes`.

Scenes of one family are edited 20 at a time, with one noise for the 20 that follows from the first scene's number. So
a scene's edit is that of its place in these batches; editing it alone with a seed of its own gives another one.
"""

import argparse
import logging
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from demo import scenes
from devtools.bench.progress import Progress, code, packed, unpacked
from workshop import ablation_page, report
from workshop.ablation import VARIANTS, are_of, ceiling, earlier_of, facts_of, measure
from workshop.machine import describe

ROOT = Path(__file__).resolve().parents[2]
CEILING = "ceiling"
log = logging.getLogger("ablation")


def variant(name: str, count: int, shown: list[int], folder: Path | None = None) -> dict:
    """One variant's figures, and its edits of the scenes to be shown; or those of the ceiling.

    Args:
        folder: where every edit is written, if anywhere.
    """
    if name == CEILING:
        return {"figures": ceiling(count)}
    figures, made = measure(name, count)
    edits = [(edit * 255).round().astype(np.uint8) for edit in made]
    if folder is not None:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, edit in enumerate(edits):
            Image.fromarray(edit).save(folder / name / f"{number}.png")
    return {"figures": figures, "shown": [packed(edits[i]) for i in shown]}


def measured(
    progress: Progress, wanted: list[str], count: int, shown: list[int], workers: int, folder: Path | None = None,
    one: Callable = variant,
) -> dict[str, dict]:  # fmt: skip
    """Each wanted variant, kept as soon as it is measured; those of a stopped run are there already."""
    threads = (max(1, (os.cpu_count() or 1) // workers),)
    missing = [name for name in wanted if name not in progress.results]
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, threads) as pool:
        jobs = {pool.submit(one, name, count, shown, folder): name for name in missing}
        for job in as_completed(jobs):
            progress.add(jobs[job], job.result(), note=jobs[job])
    return {name: progress.results[name] for name in wanted}


def write(kept: dict, found: dict[str, dict], facts: dict, shown: list, out: Path) -> None:
    """The figures, with those that `kept` has of the variants not measured now, the page and the pictures."""
    variants = kept["variants"] | {name: part["figures"] for name, part in found.items() if name != CEILING}
    result = {
        **facts,
        "variants": {name: variants[name] for name in VARIANTS if name in variants},
        CEILING: found[CEILING]["figures"] if CEILING in found else kept[CEILING],
        "machine": describe("no GPU used"),
        "torch": torch.__version__,
    }
    if set(result["variants"]) != set(VARIANTS) and kept.get("earlier"):
        result["earlier"] = kept["earlier"]
    page = ablation_page.page(result)
    report.write(out, "ablation", result, page)
    pictures = {
        name: [unpacked(text).astype(np.float32) / 255 for text in part["shown"]]
        for name, part in found.items()
        if name != CEILING
    }
    if set(pictures) == set(result["variants"]):
        ablation_page.sheet(shown, pictures).save(out / "ablation.png", optimize=True)
    log.info("%s", page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=600, help="number of unseen scenes")
    parser.add_argument("--only", nargs="+", choices=sorted(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--workers", type=int, default=1, help="variants measured at the same time")
    parser.add_argument("--edits", type=Path, metavar="DIR", help="keep every edit there")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    args = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    facts, examples = facts_of(args.count), scenes.unseen(args.count)
    kept = report.read(args.out, "ablation")
    wanted = list(args.only)
    if not are_of(kept, facts):
        kept, wanted = {"variants": {}, "earlier": earlier_of(kept)}, [CEILING, *wanted]
    shown = ablation_page.chosen(examples)
    folder = args.edits.resolve() if args.edits else None
    made = {"facts": facts, "code": code()} | ({"edits": str(folder)} if folder else {})
    with Progress("ablation", len(wanted), made) as progress:
        found = measured(progress, wanted, args.count, shown, args.workers, folder)
        write(kept, found, facts, [examples[i] for i in shown], args.out)


if __name__ == "__main__":
    main()
