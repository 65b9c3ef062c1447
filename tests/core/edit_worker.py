"""Runs `icedit edit` once for every line "FOLDER<tab>ARGUMENTS as JSON" and answers a line with what it took."""

import contextlib
import json
import os
import resource
import sys
import tempfile
import time

from icedit_core.cli import editing, main  # noqa: F401  (imported before memory is measured)

UNIT = 1 if sys.platform == "darwin" else 1024


def one(folder: str, arguments: list[str]) -> dict:
    os.chdir(folder)
    with tempfile.TemporaryFile() as said:
        for stream in (1, 2):
            os.dup2(said.fileno(), stream)
        before = time.monotonic()
        try:
            code: object = main.main(arguments)
        except SystemExit as left:
            code = left.code
        took = time.monotonic() - before
        sys.stdout.flush()
        sys.stderr.flush()
        said.seek(0)
        words = said.read()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
    return {"code": code, "took": took, "peak": peak, "said": words.decode("latin-1")}


if __name__ == "__main__":
    out = os.fdopen(os.dup(1), "w")
    with contextlib.closing(out):
        for line in sys.stdin:
            print(json.dumps(one(*json.loads(line))), file=out, flush=True)
