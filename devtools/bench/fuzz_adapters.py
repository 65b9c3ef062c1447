"""Fuzz of the adapter reader: any file loads as a valid adapter or is refused in words, soon and in little memory.

    python dev.py bench fuzz-adapters [--minutes 10] [--seed 0]

Valid files are changed in their parts, in the header's text and in single bytes; a file that leads to an outcome not
seen before is changed further. A find (any other exception, a dead or hanging process, too much time or memory, an
error nobody can act on) is made smaller and kept in tests/fixtures/adapter_corpus, which a core test reads.
Writes fuzz_adapters.json and fuzz_adapters.md.

Why no coverage-guided fuzzer (atheris): it needs a compiled extension that is not among the pinned packages, the bytes
are parsed by native code that it cannot see into, and the Python behind that has few branches, each of which says so
in its own words: the outcomes are the coverage.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import logging
import os
import platform
import queue
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import safetensors
import torch

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests" / "fixtures" / "adapter_corpus"
WORKER = Path(__file__).with_name("fuzz_worker.py")
HANGS = 120.0  # seconds without a word; a start of torch on a busy machine takes a quarter of it

log = logging.getLogger("fuzz-adapters")


class Worker:
    """The process that reads, and its lines as they come; None when it has died."""

    def __init__(self, folder: Path, seed: int, first: int):
        command = [sys.executable, str(WORKER), str(folder), str(seed), str(first)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        self.lines: queue.Queue[dict | None] = queue.Queue(10_000)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def next(self) -> dict | str:
        """The next line, or how the process ended."""
        try:
            line = self.lines.get(timeout=HANGS)
        except queue.Empty:
            self.end()
            return f"hangs for {HANGS:.0f} s"
        return f"the process died with {self.process.wait()}" if line is None else line

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Tally:
    """What came of all files."""

    def __init__(self) -> None:
        self.cases = 0
        self.kinds: collections.Counter[str] = collections.Counter()
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.finds: dict[str, dict] = {}
        self.first_peak = self.peak = 0

    def take(self, line: dict) -> None:
        self.peak = max(self.peak, line["peak"])
        self.first_peak = self.first_peak or line["peak"]
        if "find" in line:
            self.find(line["template"], line["find"], bytes.fromhex(line["data"]))
        else:
            self.kinds[line["kind"]] += 1
            self.outcomes[f"{line['kind']}: {line['template']}" if line["kind"] == "refused" else "loads"] += 1

    def find(self, template: str, text: str, data: bytes) -> None:
        self.kinds["finds"] += 1
        known = self.finds.setdefault(template, {"text": text[:500], "times": 0, "file": None})
        known["times"] += 1
        if known["file"] is None:
            CORPUS.mkdir(parents=True, exist_ok=True)
            path = CORPUS / f"find-{hashlib.sha256(data).hexdigest()[:10]}.safetensors"
            path.write_bytes(data)
            known["file"] = path.relative_to(ROOT).as_posix()
            log.info("find: %s -> %s", text[:200], known["file"])


def fuzz(minutes: float, seed: int) -> tuple[Tally, float]:
    """Watch workers for so long; one that dies or hangs is a find, and the next goes on behind it."""
    tally, begun, case = Tally(), time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(Path(folder), seed, 0)
        try:
            while time.monotonic() - begun < 60 * minutes:
                line = worker.next()
                if isinstance(line, str):
                    what = line
                    files = list(Path(folder).glob("*.safetensors"))
                    if not files:
                        raise RuntimeError(f"fuzz-adapters: the worker did not begin ({what}). Its words are above.")
                    tally.find(what, what, files[0].read_bytes())
                    worker = Worker(Path(folder), seed, case + 1)
                elif "case" in line:
                    case = line["case"]
                    tally.cases += 1
                    if tally.cases % 20_000 == 0:
                        log.info("%d files, %s", tally.cases, dict(tally.kinds))
                else:
                    tally.take(line)
        finally:
            worker.end()
    return tally, time.monotonic() - begun


def result(tally: Tally, seconds: float, seed: int) -> dict:
    return {
        "seed": seed,
        "seconds": round(seconds, 1),
        "files": tally.cases,
        "files_per_second": round(tally.cases / seconds, 1),
        "loads": tally.kinds["loads"],
        "refused": tally.kinds["refused"],
        "finds": list(tally.finds.values()),
        "peak_mib_after_first": tally.first_peak >> 20,
        "peak_mib_at_end": tally.peak >> 20,
        "corpus": len(list(CORPUS.glob("*.safetensors"))),
        "machine": machine(),
        "outcomes": dict(tally.outcomes.most_common()),
    }


def machine() -> str:
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores, one process with one thread"
    return f"{system}; torch {torch.__version__}, safetensors {safetensors.__version__}"


def page(got: dict) -> str:
    """The figures in Markdown."""
    finds = [f"- {one['text']} ({one['times']} times; `{one['file']}`)" for one in got["finds"]] or ["None."]
    outcomes = [f"| {name.replace('|', ' ')} | {count:,} |" for name, count in got["outcomes"].items()]
    return "\n".join(
        [
            "# The adapter reader under fuzz",
            "",
            f"{got['files']:,} files in {got['seconds']:.0f} s ({got['files_per_second']:.0f} per second), seed "
            f"{got['seed']}: {got['loads']:,} loaded as valid adapters, {got['refused']:,} refused in words, "
            f"{len(got['finds'])} kinds of finds. Peak memory of the process {got['peak_mib_after_first']} MiB after "
            f"the first file, {got['peak_mib_at_end']} MiB at the end. {got['machine']}; the machine was shared.",
            "",
            "What is held, how files are made and why without coverage guidance: `devtools/bench/fuzz_check.py`, "
            "`fuzz_mutations.py`, `fuzz_adapters.py`. What it found before, and the files that are kept as regression "
            "cases: `tests/fixtures/adapter_corpus/README.md`.",
            "",
            "## Finds of this run",
            "",
            *finds,
            "",
            "## Outcomes, without names and figures",
            "",
            "| outcome | files |",
            "|---|---|",
            *outcomes,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    args = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    tally, seconds = fuzz(args.minutes, args.seed)
    got = result(tally, seconds, args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "fuzz_adapters.json").write_text(json.dumps(got, indent=1) + "\n", encoding="utf-8")
    (args.out / "fuzz_adapters.md").write_text(page(got), encoding="utf-8")
    log.info("%s", page(got))
    sys.exit(1 if got["finds"] else 0)


if __name__ == "__main__":
    main()
