"""What Keep Unedited takes for large photographs: time, memory, and how long it is deaf to Cancel.

    python dev.py bench keep-large [--pictures FOLDER] [--out benchmarks]

One photograph is enlarged to each size and edited in one place; the edit comes back at a megapixel, as editors return
it, or at the photograph's own size, as after an upscaler. Each run is a process of its own, so that its peak of memory
is its own: what it holds at most beyond source, edit, result and mask. *Deaf*: the longest time between two moments at
which Cancel is heard. Seconds are the processor's, on one thread, so that a busy machine gives the same; memory is
read from Linux's /proc.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from icedit_core.keep import keep
from workshop import report
from workshop.machine import describe

from . import any_editor
from .keep_any import photographs, picture
from .progress import Progress, code

ROOT = Path(__file__).resolve().parents[2]
MEGAPIXELS = (3.0, 6.0, 12.0)
RETURNED = {"a megapixel": 1.0, "the source's size": None}
KIND, SEED = "recoloured", 5
MIB = 2**20


def enlarged(image: Tensor, megapixels: float) -> Tensor:
    """A picture (H, W, 3) at that many megapixels, sides even."""
    height, width = image.shape[:2]
    scale = (megapixels * 1e6 / (height * width)) ** 0.5
    size = (2 * round(height * scale / 2), 2 * round(width * scale / 2))
    planes = F.interpolate(image.movedim(-1, 0)[None], size, mode="bicubic", antialias=True)
    return planes[0].movedim(0, -1).clamp(0, 1).contiguous()


def pictures(path: Path, megapixels: float, returned: float | None) -> tuple[Tensor, Tensor]:
    """Source (H, W, 3) of that size and what an editor returns of it."""
    source = enlarged(picture(path, 1600), megapixels)
    edit = any_editor.jpeg(any_editor.local(random.Random(SEED), KIND, source, source))
    return source, edit if returned is None else enlarged(edit, returned)


def measured(path: Path, megapixels: float, returned: float | None) -> dict:
    """Time, memory and the longest silence of one run, in this process."""
    torch.set_num_threads(1)
    source, edit = pictures(path, megapixels, returned)
    small = torch.rand(1, 64, 64, 3)
    keep(small, small.flip(1))  # what the first call loads is not the picture's
    heard = []
    before = reset_peak()
    start = time.process_time()
    done = keep(source[None], edit[None], step=lambda: heard.append(time.process_time()))
    end = time.process_time()
    own = sum(x.numel() * x.element_size() for x in (done.image, done.mask))
    times = [start, *heard, end]
    return {
        "megapixels": source.shape[0] * source.shape[1] / 1e6,
        "seconds": end - start,
        "mib": (peak() - before - own) / MIB,
        "pictures_mib": (own + sum(x.numel() * x.element_size() for x in (source, edit))) / MIB,
        "deaf": max(b - a for a, b in zip(times, times[1:], strict=False)),
        "changed": float((done.mask > 0).float().mean()),
        "words": done.report[0],
    }


def peak() -> int:
    """The most memory that this process held since `reset_peak`, bytes."""
    return _status("VmHWM")


def reset_peak() -> int:
    """Begin to watch the peak anew; what is held now, bytes."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (value,) = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return int(value) * 1024


def alone(path: Path, megapixels: float, returned: float | None) -> dict:
    """`measured` in a process of its own."""
    run = json.dumps([str(path), megapixels, returned])
    command = [sys.executable, "-m", f"{__package__}.keep_large", "--run", run]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=dict(os.environ))
    return dict(json.loads(done.stdout.splitlines()[-1]))


def page(records: dict[str, list[dict]], photograph: str, machine: str) -> str:
    """The figures in Markdown."""
    lines = [
        "# Keep Unedited on large photographs",
        "",
        f"One photograph ({photograph}), enlarged to each size and edited in one place; the edit comes back at a "
        "megapixel, as editors return it, or at the photograph's own size. Defaults, no VAE, each run in a process of "
        "its own, on one thread. *Seconds* are the processor's. *Memory*: the peak beyond source, edit, result and "
        "mask, whose own size is *pictures*. *Deaf*: the longest time between two moments at which Cancel is heard, "
        "in the same seconds.",
        "",
    ]
    head = [
        "edit comes back at",
        "megapixels",
        "seconds",
        "per MP",
        "memory, MiB",
        "per MP",
        "pictures, MiB",
        "deaf, s",
    ]
    rows = []
    for name, runs in records.items():
        for run in runs:
            size, seconds, mib = run["megapixels"], run["seconds"], run["mib"]
            each = [f"{seconds:.1f}", f"{seconds / size:.2f}", f"{mib:.0f}", f"{mib / size:.0f}"]
            rows.append([name, f"{size:.1f}", *each, f"{run['pictures_mib']:.0f}", f"{run['deaf']:.1f}"])
    lines += report.table(head, rows)
    return "\n".join([*lines, "", f"On {machine}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, help="a folder of photographs, PNG, JPEG or WebP")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    parser.add_argument("--run", help=argparse.SUPPRESS)  # one run, in the process that `alone` starts
    args = parser.parse_args()
    if args.run:
        path, megapixels, returned = json.loads(args.run)
        print(json.dumps(measured(Path(path), megapixels, returned)))  # noqa: T201 (read by `alone`)
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    path = photographs(args.pictures)[0]
    with Progress("keep-large", len(RETURNED) * len(MEGAPIXELS), {"code": code(), "picture": path.name}) as progress:
        records = {
            name: [progress.get(f"{name} {size:g}", partial(alone, path, size, returned)) for size in MEGAPIXELS]
            for name, returned in RETURNED.items()
        }
        write(args.out, records, path.name)


def write(out: Path, records: dict[str, list[dict]], photograph: str) -> None:
    machine = describe()
    figures = {"machine": machine, "photograph": photograph, "runs": records}
    text = page(records, photograph, machine)
    report.write(out, "keep_large", figures, text)
    logging.info("%s", text)


if __name__ == "__main__":
    main()
