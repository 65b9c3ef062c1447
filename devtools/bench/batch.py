"""`icedit batch` with a server, a worker and the command itself killed: is any row lost, doubled or otherwise?

    python dev.py bench batch [--rows 200] [--engine servers|ray] [--python FILE] [--address HOST:PORT]

Demo scenes are edited by one server, and again by two of which one is killed half-way (`servers`), or by two workers of
a Ray cluster (`ray`), of which one is killed after a third of the rows, and the command after two thirds; it is then
started again. Each row of the second run is compared with the first one's: seed, graph, and every pixel of its picture.
ray: --python is one that has ray, --address a cluster on this machine (default: one for the time of the run).
Writes batch.json and batch.md; the other engine's figures in them are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from demo import scenes
from devtools.server import _base_folder, running_host
from icedit_core.batch import records
from workshop import report
from workshop.machine import describe

ROOT = Path(__file__).resolve().parents[2]
STEPS = 4
POLL = 0.05  # seconds


def rows_in(folder: Path, count: int) -> Path:
    """Unseen scenes of the demo as a list of `icedit batch`."""
    folder.mkdir()
    lines = []
    for number, scene in enumerate(scenes.unseen(count)):
        Image.fromarray((scene.source * 255).round().astype("uint8")).save(folder / f"{number}.png")
        lines.append({"image": f"{number}.png", "instruction": scene.instruction, "id": str(number), "seed": number})
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def started(python: str, rows: Path, out: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [python, "-m", "icedit_core.cli", "batch", str(rows), "-o", str(out), "--workflow", "icedit_demo"]
    command += ["--set", f"KSampler.steps={STEPS}", "--patience", "600", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, cwd=out.parent, env=environment, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> str:
    _, words = process.communicate()
    if process.returncode:
        raise RuntimeError(f"icedit batch ended with {process.returncode}: {words[-2000:]}")
    return words


def recorded(out: Path) -> list[dict[str, Any]]:
    file = out / records.NAME
    return list(records.read(file)[1]) if file.is_file() and file.stat().st_size else []


def wait_for(out: Path, process: subprocess.Popen[str], is_there: Callable[[list[dict[str, Any]]], bool]) -> None:
    """Until the records are as they should be.

    Raises:
        RuntimeError: the run ended before.
    """
    while not is_there(recorded(out)):
        if process.poll() is not None:
            raise RuntimeError(f"icedit batch ended before anything was killed: {ended(process)[-2000:]}")
        time.sleep(POLL)


def compared(alone: Path, other: Path, count: int) -> dict[str, Any]:
    """The second run's rows against the first one's."""
    expected = {record["row"]: record for record in recorded(alone)}
    every = recorded(other)
    made = {record["row"]: record for record in every}
    same = sum(_same(alone, expected[row], other, record) for row, record in made.items() if row in expected)
    return {
        "rows": count,
        "alone": len(expected),
        "missing": len(expected.keys() - made.keys()),
        "twice": len(every) - len(made),
        "failed": sum(bool(record["error"]) for record in every),
        "equal": same,
        "by": dict(sorted(Counter(_place(record) for record in every).items())),
    }


def _place(record: dict[str, Any]) -> str:
    return "server" if record["server"].startswith("http") else record["server"]


def _same(alone: Path, expected: dict[str, Any], other: Path, record: dict[str, Any]) -> bool:
    if record["error"] or expected["error"] or record["seed"] != expected["seed"]:
        return False
    first, second = (np.asarray(Image.open(out / one["files"][0])) for out, one in
                     ((alone, expected), (other, record)))  # fmt: skip
    return record["graph"] == expected["graph"] and np.array_equal(first, second)


def over_servers(options: argparse.Namespace, folder: Path, comfyui: Path) -> dict[str, Any]:
    """One server, then two, of which one is killed after half of the rows."""
    rows, alone, both = rows_in(folder / "rows", options.rows), folder / "alone", folder / "both"
    with running_host(comfyui, ROOT) as first:
        begun = time.monotonic()
        ended(started(sys.executable, rows, alone, "--server", first.url))
        seconds = time.monotonic() - begun
        with running_host(comfyui, ROOT) as second:
            begun = time.monotonic()
            process = started(sys.executable, rows, both, "--server", first.url, "--server", second.url)
            wait_for(both, process, lambda made: len(made) >= options.rows // 2)
            second.process.kill()
            at_kill = len(recorded(both))
            ended(process)
    found = compared(alone, both, options.rows)
    by_second = sum(record["server"] == second.url for record in recorded(both))
    by = {"the killed one": by_second, "the other": len(recorded(both)) - by_second}
    return found | {"by": by, "killed_after": at_kill, "seconds": [round(seconds), round(time.monotonic() - begun)]}


def over_ray(options: argparse.Namespace, folder: Path, comfyui: Path) -> dict[str, Any]:
    """One server, then two workers; one is killed, then the command, which is started again."""
    rows, alone, cluster = rows_in(folder / "rows", options.rows), folder / "alone", folder / "cluster"
    others = workers_folders()
    with running_host(comfyui, ROOT, cpu=True) as first:
        begun = time.monotonic()
        ended(started(sys.executable, rows, alone, "--server", first.url))
        seconds = time.monotonic() - begun
    with _base_folder(ROOT, {}) as base:
        arguments = ["--engine", "ray", "--workers", "2", "--comfyui", str(comfyui), "--comfyui-python", sys.executable]
        arguments += [f"--comfyui-arg={one}" for one in (f"--base-directory={base}", "--disable-api-nodes", "--cpu")]
        arguments += ["--ray-address", options.address] if options.address else []
        begun = time.monotonic()
        process = started(options.python, rows, cluster, *arguments)
        both = {"ray worker 0", "ray worker 1"}
        wait_for(cluster, process, lambda made: len(made) >= options.rows // 3 and both == {m["server"] for m in made})
        os.kill(processes(b"ray::Worker")[0], signal.SIGKILL)
        at_worker = len(recorded(cluster))
        wait_for(cluster, process, lambda made: len(made) >= 2 * options.rows // 3)
        process.kill()
        process.communicate()
        at_command = len(recorded(cluster))
        said = ended(started(options.python, rows, cluster, *arguments))
        time.sleep(5)
        left = len(processes(str(base).encode()))
    return compared(alone, cluster, options.rows) | {
        "worker_killed_after": at_worker,
        "command_killed_after": at_command,
        "goes_on": f"{at_command} of {options.rows} rows have a record" in said,
        "comfyuis_left": left,
        "folders_left": len(workers_folders() - others),
        "seconds": [round(seconds), round(time.monotonic() - begun)],
    }


def workers_folders() -> set[Path]:
    """The temporary folders of workers on this machine."""
    found = Path(tempfile.gettempdir())
    return {*found.glob("icedit-comfyui-*"), *found.glob("icedit-row-*")}


def processes(part: bytes) -> list[int]:
    """The processes with this in their command line; a worker of Ray's that holds a ComfyUI is a ray::Worker."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if part in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return sorted(found)


def page(result: dict[str, Any]) -> str:
    """batch.md."""
    lines = [
        "# Rows of icedit batch with something killed",
        "",
        f"Unseen scenes of the demo, {STEPS} steps each, edited by one ComfyUI and again as said; a row is equal if "
        "its seed, its graph and every pixel are. Made by `python dev.py bench batch`.",
        "",
    ]
    names = {
        "servers": "two servers, one killed half-way",
        "ray": "two Ray workers, each with a ComfyUI of its own, one killed, then the command killed and started again",
    }
    counts = ("rows", "missing", "twice", "failed", "equal")
    lines += report.table(
        ["", *counts, "seconds alone, and so"],
        (
            [names[engine], *(one[key] for key in counts), "{}, {}".format(*one["seconds"])]
            for engine, one in sorted(result.items())
        ),
    )
    lines += ["", *(_told(engine, one) for engine, one in sorted(result.items())), ""]
    return "\n".join(lines)


def _told(engine: str, one: dict[str, Any]) -> str:
    by = ", ".join(f"{place} {count}" for place, count in one["by"].items())
    words = f"{engine}: rows by {by}"
    if engine == "servers":
        words += f"; it was killed after {one['killed_after']} rows"
    if engine == "ray":
        words += f"; the worker was killed after {one['worker_killed_after']} rows, the command after "
        words += f"{one['command_killed_after']}; {one['comfyuis_left']} ComfyUIs "
        words += f"and {one['folders_left']} of their folders " if "folders_left" in one else ""
        words += f"left at the end; ray {one['ray']}"
    return f"- {words}. {one['machine']}; the seconds are those of a machine with other work."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--engine", choices=("servers", "ray"), default="servers")
    parser.add_argument("--python", default=sys.executable, help="that has ray")
    parser.add_argument("--address", default="", help="of a Ray cluster on this machine")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    options = parser.parse_args()
    comfyui = Path(os.environ["COMFYUI_PATH"])
    work = {"servers": over_servers, "ray": over_ray}[options.engine]
    with tempfile.TemporaryDirectory(prefix="icedit-batch-") as folder:
        found = work(options, Path(folder), comfyui)
    if options.engine == "ray":
        code = "import ray; print(ray.__version__)"
        found["ray"] = subprocess.check_output([options.python, "-c", code], text=True).strip()
    result = report.read(options.out, "batch")
    result[options.engine] = found | {"machine": describe("no GPU used")}
    report.write(options.out, "batch", result, page(result))


if __name__ == "__main__":
    main()
