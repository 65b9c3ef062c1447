"""What the pack adds to ComfyUI's start: time, modules and network, measured in fresh processes.

    python dev.py bench footprint [--repeats 7] [--out benchmarks]

Each repeat starts a process that loads ComfyUI with its own nodes, then loads this pack through the host's own loader,
then describes our nodes as the first /object_info does. The first of them also compiles all of it, as after an
installation, and is reported apart. Writes footprint.json and footprint.md; nothing is asserted here (a test holds the
modules and the network).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from devtools.bench.progress import Progress, code
from workshop import report
from workshop.machine import describe

ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("footprint_child.py")
log = logging.getLogger("footprint")


def measure(comfyui: Path, base: Path, pack: Path = ROOT) -> dict:
    """One start in a process of its own.

    Args:
        base: ComfyUI's base folder, an empty one at first; what Python compiles is kept there too.
    Returns:
        `seconds` by the clock and of `work` (the processor's) for `host`, `pack` and `object_info`; `modules` that the
        pack pulled in, by top-level package; `network`: what it tried to reach.
    Raises:
        RuntimeError: the process failed; its last lines are in the message.
    """
    linked = base / "custom_nodes" / "ICEdit"
    if not linked.exists():
        linked.parent.mkdir()
        linked.symlink_to(pack, target_is_directory=True)
    env = {**os.environ, "PYTHONPATH": "", "PYTHONPYCACHEPREFIX": str(base / "compiled")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, str(CHILD), str(comfyui), str(base)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=base, env=env)
    if done.returncode:
        raise RuntimeError(f"footprint: the process ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def page(result: dict) -> str:
    """The figures in Markdown."""
    rows = []
    for name, words in (
        ("host", "ComfyUI with its own nodes"),
        ("pack", f"loading this pack and registering its {result['nodes']} nodes"),
        ("object_info", "describing them for the first /object_info"),
    ):
        figures = [result["median"]["seconds"][name], result["median"]["work"][name], result["first"]["work"][name]]
        low, high = (1000 * value for value in result["spread"][name])
        clock, work, first = (f"{1000 * value:.0f} ms" for value in figures)
        rows.append([words, clock, f"{low:.0f}-{high:.0f}", work, first])
    modules = ", ".join(f"{name} ({count})" for name, count in result["modules"].items())
    lines = [
        "# What the pack adds to ComfyUI's start",
        "",
        f"Median of {result['repeats']} fresh processes on {result['machine']}, ComfyUI {result['comfyui']}.",
        "Work is the processor's time, which other programs on the machine hardly lengthen. The very first start,",
        "after an installation, also compiles everything.",
        "",
        *report.table(["", "clock", "least and most (ms)", "work", "work at the very first start"], rows),
        "",
        f"Modules pulled in that ComfyUI had not loaded: {modules}.",
        f"Network addresses asked for: {', '.join(result['network']) or 'none'}.",
        "",
    ]
    return "\n".join(lines)


def summary(runs: list[dict]) -> dict:
    """Medians over all starts but the first."""
    first, *later = runs
    names = list(first["seconds"])
    return {
        "repeats": len(later),
        "median": {
            kind: {name: round(statistics.median(run[kind][name] for run in later), 4) for name in names}
            for kind in ("seconds", "work")
        },
        "spread": {
            name: [round(pick(run["seconds"][name] for run in later), 4) for pick in (min, max)] for name in names
        },
        "first": {kind: {name: round(first[kind][name], 4) for name in names} for kind in ("seconds", "work")},
        **{name: later[-1][name] for name in ("nodes", "modules", "network", "comfyui")},
        "machine": describe(f"Python {platform.python_version()}"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench footprint", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    args = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    comfyui = Path(os.environ["COMFYUI_PATH"]).resolve()
    made = {"code": code(), "comfyui": str(comfyui), "machine": describe()}
    with Progress("footprint", args.repeats + 1, made) as progress, tempfile.TemporaryDirectory() as folder:
        if progress.results:
            measure(comfyui, Path(folder))  # compiles everything in the new folder, as the first start did
        for number in range(args.repeats + 1):
            if str(number) not in progress.results:
                run = measure(comfyui, Path(folder))
                work = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in run["work"].items())
                progress.add(str(number), run, note=work)
        result = summary([progress.results[str(number)] for number in range(args.repeats + 1)])
        report.write(args.out, "footprint", result, page(result))
        log.info("%s", page(result))


if __name__ == "__main__":
    main()
