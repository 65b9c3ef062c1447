"""What `icedit batch` and `icedit eval` cost beside the edits: 10,000 rows of records, and the time to start.

    python dev.py bench bookkeeping [--rows 10000] [--runs 5] [--out benchmarks]

Rows are edited in no time by two places that do nothing. A start is measured to the end of `--help`, or to the first
request that a server gets; once with nothing compiled, not even Python's own library, then again and again. Writes
bookkeeping.json and .md.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from demo import scenes
from devtools.bench.eval_scenes import data
from icedit_core.batch import records, run
from icedit_core.batch import rows as batch_rows
from icedit_core.batch.places import Done
from icedit_core.batch.rows import Row
from icedit_core.cli import batching
from workshop import report
from workshop.machine import describe

ROOT = Path(__file__).resolve().parents[2]
SCENES = 6  # rows of the runs whose start is measured
EARLY = 2000  # rows after which memory should grow no more
HELP = ("batch --help", "eval --help", "compare --help")


class Instant:
    """A place that edits in no time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.marks: list[int] = []

    async def edit(self, row: Row) -> Done:
        self.marks.append(resident())
        await asyncio.sleep(0)
        return Done([row.image.name], ["0" * 64], {"seed": row.seed, "seconds": 0.0, "nfe": 28})

    async def is_up(self) -> bool:
        return True


def resident() -> int:
    """Resident bytes, as Linux tells them."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def bookkeeping(folder: Path, count: int) -> dict[str, Any]:
    """All but the edits of `count` rows: list, records, a second run that finds them done, contact sheet."""
    Image.new("RGB", (96, 96), "red").save(folder / "x.png")
    lines = [{"image": "x.png", "instruction": "make it blue", "id": f"row {i}", "seed": i} for i in range(count)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    places, seconds, out = [Instant("a"), Instant("b")], {}, folder / "out"
    begun = time.monotonic()
    rows, broken = batch_rows.read(folder / "rows.jsonl")
    seconds["read the list"] = time.monotonic() - begun
    for name in ("edit and record", "go on with nothing left"):
        begun = time.monotonic()
        with records.Records(out, "icedit batch") as kept:
            done = kept.begin({"icedit": "batch", "workflow": "x"}, ("workflow",))
            left = run.remaining(rows, done)
            options = run.Options([], "x")
            asyncio.run(run.spread(places, rows, left, broken, done, kept, options, io.StringIO()))
        seconds[name] = time.monotonic() - begun
    begun = time.monotonic()
    (out / "x.png").write_bytes((folder / "x.png").read_bytes())
    batching.write_sheet(out, {row.key: row.image for row in rows})
    seconds["contact sheet"] = time.monotonic() - begun
    marks = [mark for pair in zip(*(place.marks for place in places), strict=False) for mark in pair]
    return {
        "rows": sum(1 for _ in records.read(out / records.NAME)[1]),
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "seconds_in_all": round(sum(seconds.values()), 2),
        "grown_mib": round((marks[-1] - marks[min(EARLY, len(marks) - 1)]) / 2**20, 1),
        "most_mib": round(_most() / 2**20),
    }


def _most() -> int:
    """The most resident bytes that this process had."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024


def starts(folder: Path, runs: int) -> dict[str, dict[str, float]]:
    """Command -> seconds of its first start and of the later ones."""
    rows = data(folder / "scenes", scenes.unseen(SCENES))
    given = {
        "batch": ["batch", str(rows / "scenes.jsonl"), "--instruction", "make it blue"],
        "eval --protocol scenes": ["eval", "--protocol", "scenes", "--data", str(rows)],
    }
    found = {}
    for number, command in enumerate((*HELP, *given)):
        cache = folder / f"compiled {number}"
        taken = [
            _helped(command.split(), cache) if command in HELP
            else _asked(given[command], folder / f"{number} {again}", cache)
            for again in range(1 + runs)
        ]  # fmt: skip
        found[command] = {"first": round(taken[0], 2), "again": round(statistics.median(taken[1:]), 2)}
    return found


def _helped(arguments: list[str], cache: Path) -> float:
    begun = time.monotonic()
    with _started(arguments, cache) as process:
        if process.wait():
            raise RuntimeError(f"icedit {' '.join(arguments)} ended with {process.returncode}")
    return time.monotonic() - begun


def _asked(arguments: list[str], out: Path, cache: Path) -> float:
    """Until the command makes its first connection to the server, which is then ended with it.

    Raises:
        RuntimeError: it ended before.
    """
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.005)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        begun = time.monotonic()
        with _started([*arguments, "--server", url, "-o", str(out)], cache) as process:
            while True:
                try:
                    server.accept()[0].close()
                    taken = time.monotonic() - begun
                    process.kill()
                    return taken
                except TimeoutError:
                    if process.poll() is not None:
                        raise RuntimeError(f"icedit {arguments[0]} ended with {process.returncode}") from None


def _started(arguments: list[str], cache: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(cache)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "icedit_core.cli", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


def page(result: dict[str, Any]) -> str:
    """bookkeeping.md."""
    told = result["bookkeeping"]
    parts = ", ".join(f"{name} {value:g} s" for name, value in told["seconds"].items())
    starts = [[name, f"{taken['first']:.2f}", f"{taken['again']:.2f}"] for name, taken in result["starts"].items()]
    return "\n".join([
        "# What icedit batch and icedit eval cost beside the edits",
        "",
        f"{told['rows']:,} rows whose edits take no time: {told['seconds_in_all']:g} s in all ({parts}). At most "
        f"{told['most_mib']} MiB resident; from row {EARLY:,} to the last one memory grew by "
        f"{told['grown_mib']:g} MiB.",
        "",
        "The time to start, in seconds: to the end of `--help`, else to the first request that the server gets, with "
        f"{SCENES} rows. The first start has nothing compiled, not even Python's own library.",
        "",
        *report.table(["icedit ...", "first start", "median of the later ones"], starts),
        "",
        f"Made by `python dev.py bench bookkeeping` on {result['machine']}, Python {result['python']}.",
        "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5, help="later starts of each command")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="icedit-bookkeeping-") as folder:
        told = bookkeeping(Path(folder), options.rows)  # first: the process's highest memory is its own then
        result = {"bookkeeping": told, "starts": starts(Path(folder), options.runs)}
    result |= {"machine": describe("no GPU used"), "python": sys.version.split()[0]}
    report.write(options.out, "bookkeeping", result, page(result))
    print(page(result))


if __name__ == "__main__":
    main()
