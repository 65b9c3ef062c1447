"""Trains in the tiny world, as a process of its own: `python training_worker.py JOBS.json`.

A job is {"values": configuration, "count": file} or {"values": configuration, "kill": {"event", "share", "of"}}. The
first counts events: `step`s, and `file` events, that is each time Python opens, makes, renames or removes something in
the output folder. The second gets SIGKILL at a share of the count in the file `of`. With "fork" each job runs in a
child, which starts in no time, and the children's exit codes are printed as one JSON list.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

import accelerate  # noqa: E402, F401 - what training imports on use is imported once for all children
import diffusers.training_utils  # noqa: E402, F401
import matplotlib.figure  # noqa: E402, F401
import prodigyopt  # noqa: E402, F401
import torch  # noqa: E402
from diffusers import FluxTransformer2DModel  # noqa: E402, F401

from icedit_core.training import loop  # noqa: E402
from icedit_core.training.config import parse  # noqa: E402
from tests.core import training_world as world  # noqa: E402


class Counter:
    """Counts what happens in a folder and kills at the given number."""

    def __init__(self, folder: str, kill: dict | None):
        self.folder, self.counts = folder, {"file": 0, "step": 0}
        self.event = kill["event"] if kill else None
        self.at = (
            1 + int(kill["share"] * json.loads(Path(kill["of"]).read_text(encoding="utf-8"))[self.event]) if kill else 0
        )

    def audit(self, event: str, arguments: tuple) -> None:
        if event in ("open", "os.rename", "os.mkdir", "shutil.rmtree") and str(arguments[0]).startswith(self.folder):
            self._one("file")

    def on_event(self, kind: str, values: dict) -> None:
        if kind == "step":
            self._one("step")

    def _one(self, event: str) -> None:
        self.counts[event] += 1
        if event == self.event and self.counts[event] == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def run(job: dict) -> None:
    torch.set_num_threads(1)
    counter = Counter(job["values"]["output"]["folder"], job.get("kill"))
    sys.addaudithook(counter.audit)
    loop.train(parse(job["values"]), base=world.base(), on_event=counter.on_event)
    if job.get("count"):
        Path(job["count"]).write_text(json.dumps(counter.counts), encoding="utf-8")


def in_child(job: dict) -> int:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        run(job)
        os._exit(0)
    finally:
        import traceback

        traceback.print_exc()
        os._exit(1)


def main() -> None:
    jobs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if jobs["fork"]:
        print(json.dumps([in_child(job) for job in jobs["jobs"]]))
    else:
        for job in jobs["jobs"]:
            run(job)


if __name__ == "__main__":
    main()
