"""What the pack adds to ComfyUI's start: time, modules and network, measured in fresh processes.

    python dev.py bench footprint [--repeats 7] [--out benchmarks]

Each repeat starts a process that loads ComfyUI with its own nodes, then loads this pack through the host's own loader,
then describes our nodes as the first /object_info does. Writes footprint.json and footprint.md; nothing is asserted
here (a test holds the modules and the network).
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

ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("footprint_child.py")
log = logging.getLogger("footprint")
LIMIT_MS = 150  # what we allow ourselves above the host's own start


def measure(comfyui: Path, pack: Path = ROOT) -> dict:
    """One start in a process of its own.

    Returns:
        seconds of `host`, `pack` and `object_info`; `modules` that the pack pulled in, by top-level package; `network`:
        what it tried to reach.
    Raises:
        RuntimeError: the process failed; its last lines are in the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "custom_nodes").mkdir()
        (base / "custom_nodes" / "ICEdit").symlink_to(pack, target_is_directory=True)
        command = [sys.executable, str(CHILD), str(comfyui), str(base)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=base, env={**os.environ, "PYTHONPATH": ""})
    if done.returncode:
        raise RuntimeError(f"footprint: the process ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def page(result: dict) -> str:
    """The figures in Markdown."""
    ms = {name: f"{1000 * result['median'][name]:.0f} ms" for name in result["median"]}
    spread = {name: f"{1000 * low:.0f}-{1000 * high:.0f}" for name, (low, high) in result["spread"].items()}
    modules = ", ".join(f"{name} ({count})" for name, count in result["modules"].items())
    lines = [
        "# What the pack adds to ComfyUI's start",
        "",
        f"Median of {result['repeats']} fresh processes on {result['machine']}, ComfyUI {result['comfyui']}.",
        "",
        "| | median | least and most (ms) |",
        "|---|---|---|",
        f"| ComfyUI with its own nodes | {ms['host']} | {spread['host']} |",
        f"| loading this pack and registering its {result['nodes']} nodes | {ms['pack']} | {spread['pack']} |",
        f"| describing them for the first /object_info | {ms['object_info']} | {spread['object_info']} |",
        "",
        f"Modules pulled in that ComfyUI had not loaded: {modules}.",
        f"Network addresses asked for: {', '.join(result['network']) or 'none'}.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    args = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    comfyui = Path(os.environ["COMFYUI_PATH"]).resolve()
    runs = []
    for _ in range(args.repeats):
        runs.append(measure(comfyui))
        log.info("%s", {name: round(seconds, 3) for name, seconds in runs[-1]["seconds"].items()})
    times = {name: [run["seconds"][name] for run in runs] for name in runs[0]["seconds"]}
    result = {
        "repeats": args.repeats,
        "median": {name: round(statistics.median(values), 4) for name, values in times.items()},
        "spread": {name: [round(min(values), 4), round(max(values), 4)] for name, values in times.items()},
        **{name: runs[-1][name] for name in ("nodes", "modules", "network", "comfyui")},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores, Python "
        f"{platform.python_version()}",
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "footprint.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (args.out / "footprint.md").write_text(page(result), encoding="utf-8")
    log.info("%s", page(result))


if __name__ == "__main__":
    main()
