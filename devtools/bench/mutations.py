"""Changed folders of strangers, in large numbers: refused in words or right, in bounded time and memory.

    python dev.py bench mutations [--count 1500] [--kinds lora,peft] [--seed 0] [--out benchmarks]

Adapters, judges' models, training rows and checkpoints, as in tests/core/mutation_kinds.py, which also says what is
right; how they are changed stands in mutation_table.py beside it. Each kind runs in a process of its own, which may die
or hang. hypothesis makes a find as small as it can; it is kept in tests/fixtures/mutations, which a core test reads.
Writes mutations.json and mutations.md.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import hashlib
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings

from tests.core.mutation_kinds import KINDS, Find, peak_bytes, write
from tests.core.mutation_table import Files, changed
from workshop import report
from workshop.machine import describe

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "tests" / "fixtures" / "mutations"
HANGS = 600  # seconds for one folder on a shared machine, until the process ends with a traceback
log = logging.getLogger("mutations")


def child(name: str, count: int, number: int) -> None:
    """Run one kind and print what came of it, a line of JSON."""
    outcomes: collections.Counter[str] = collections.Counter()
    smallest: Files = {}
    with tempfile.TemporaryDirectory() as scratch:
        kind = next(kind for kind in KINDS if kind.name == name)(Path(scratch))
        kind.outcome(kind.whole)
        started, first = time.monotonic(), peak_bytes()

        @seed(number)
        @settings(max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck))
        @given(changed(kind.whole))
        def check(files: Files) -> None:
            faulthandler.dump_traceback_later(HANGS, exit=True)
            try:
                outcomes[_kind_of(kind.outcome(files))] += 1
            except Find:
                smallest.clear()
                smallest.update(files)  # hypothesis ends with the smallest
                raise
            finally:
                faulthandler.cancel_dump_traceback_later()

        find = None
        try:
            check()
        except Find as caught:
            find = {"text": str(caught), "file": keep(name, kind.whole, smallest)}
        seconds, grown = time.monotonic() - started, peak_bytes() - first
    told = {
        "kind": name,
        "folders": sum(outcomes.values()),
        "read": outcomes.pop("read", 0),
        "seconds": round(seconds, 1),
    }
    print(json.dumps({**told, "refused": outcomes.most_common(), "grown_mib": grown >> 20, "find": find}))


def keep(name: str, whole: Files, files: Files) -> str:
    """Put the changed files of a find among the fixtures."""
    different = {file: data for file, data in files.items() if whole.get(file) != data}
    digest = hashlib.sha256(repr(sorted(different.items())).encode()).hexdigest()[:8]
    folder = KEPT / f"{name}-{digest}"
    if not folder.exists():
        write(folder, different)
    return folder.relative_to(ROOT).as_posix()


def _kind_of(outcome: str) -> str:
    """What was said, without figures and names."""
    if outcome == "read":
        return outcome
    words = [re.fullmatch(r"[('\"`]?([A-Za-z_]{1,14})[)'\"`,:;.]?", word) for word in outcome.split(". ")[0].split()]
    return " ".join(match[1] for match in words if match)[:80]


def run(name: str, count: int, number: int) -> dict:
    """One kind in a process of its own; a death is a find too."""
    command = [sys.executable, "-m", "devtools.bench.mutations", "--child", name]
    command += ["--count", str(count), "--seed", str(number)]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )
    if done.returncode or not done.stdout.strip():
        return {"kind": name, "find": {"text": f"the process ended with {done.returncode}; its words are above"}}
    result: dict = json.loads(done.stdout.splitlines()[-1])
    return result


def page(result: dict) -> str:
    """The figures in Markdown."""
    rows = [
        [
            one["kind"],
            f"{one['folders']:,}",
            f"{one['read']:,}",
            len(one["refused"]),
            f"{one['seconds']:.0f} s",
            f"{one['grown_mib']} MiB",
        ]
        for one in result["kinds"]
        if "folders" in one
    ]
    finds = [
        f"- {one['kind']}: {one['find']['text']}"
        + (f"; kept as `{one['find']['file']}`, which a core test reads" if "file" in one["find"] else "")
        for one in result["kinds"]
        if one["find"]
    ]
    return "\n".join(
        [
            "# Changed files of strangers",
            "",
            f"{sum(one.get('folders', 0) for one in result['kinds']):,} folders with one to three changes, seed "
            f"{result['seed']}, on {result['machine']}, which was shared. Each was refused by a sentence or read "
            "as what it says (`tests/core/mutation_kinds.py`), or is a find below. A bad row of training data is "
            "refused by itself.",
            "",
            *report.table(["kind", "folders", "read", "kinds of refusals", "time", "growth of peak memory"], rows),
            "",
            "Finds of this run:",
            "",
            *(finds or ["None."]),
            "",
            "Earlier finds are kept: `tests/fixtures/mutations/README.md`, `tests/fixtures/adapter_corpus/README.md`.",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1500, help="folders of each kind")
    parser.add_argument("--kinds", default=",".join(kind.name for kind in KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    if args.child:
        return child(args.child, args.count, args.seed)
    log.setLevel(logging.INFO)
    result: dict = {"seed": args.seed, "machine": describe(), "kinds": []}
    for name in args.kinds.split(","):
        result["kinds"].append(run(name, args.count, args.seed))
        log.info("%s", {key: value for key, value in result["kinds"][-1].items() if key != "refused"})
        report.write(args.out, "mutations", result, page(result))
    sys.exit(1 if any(one["find"] for one in result["kinds"]) else 0)


if __name__ == "__main__":
    main()
