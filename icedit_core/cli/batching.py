"""What `icedit batch` does once its arguments are read: rows, servers, records, and the contact sheet at the end."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from .. import foreign
from ..batch import engines, records, rows, run, sheet
from ..batch.started import Start
from ..client import ComfyError

FAILED = 1  # exit code
LONGEST = 10_000  # letters of what is printed at once


def run_batch(arguments: argparse.Namespace) -> int:
    """Edit all rows; returns the exit code."""
    options = options_of(arguments)
    found, broken = rows.read(arguments.rows, arguments.instruction, arguments.seed)
    with records.Records(arguments.out) as kept:
        summary = asyncio.run(engines.edit_all(found, broken, options, kept, arguments.out, sys.stderr))
    made = write_sheet(arguments.out, {row.key: row.image for row in found})
    return tell(summary, arguments.out, made, "icedit batch")


def guarded(who: str, work: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Do the work of a command that talks to servers, with its errors and interrupts in words.

    Raises:
        ValueError: anything that the user can put right.
        KeyboardInterrupt: by Ctrl-C or SIGTERM.
    """
    # Python cancels the running task on SIGINT, and the client then takes its prompt off the server.
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        return work(arguments)
    except ComfyError as problem:
        print(f"{who}: {foreign.text(problem, LONGEST)}", file=sys.stderr)
        return FAILED
    except ValueError as problem:
        words = foreign.text(str(problem).removeprefix(f"{who}: "), LONGEST)
        raise ValueError(f"{who}: {words}") from problem
    except OSError as problem:
        print(f"{who}: {foreign.line(problem)}. The same command goes on.", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; the same command goes on where it was") from None
    finally:
        signal.signal(signal.SIGTERM, before)


def run_guarded(arguments: argparse.Namespace) -> int:
    return guarded("icedit batch", run_batch, arguments)


def options_of(arguments: argparse.Namespace) -> run.Options:
    """What `batch.add_run` has read, checked.

    Raises:
        ValueError: one of them cannot be.
    """
    for name in ("timeout", "patience"):
        if not 0 < getattr(arguments, name) < float("inf"):
            raise ValueError(f"--{name} got {getattr(arguments, name):g}, but seconds above 0 are needed.")
    if arguments.seed is not None and not 0 <= arguments.seed < rows.SEED_RANGE:
        raise ValueError(f"--seed got {arguments.seed}, but a whole number from 0 to 2**64 - 1 is needed.")
    on_ray = on_ray_of(arguments)
    if arguments.models is not None and not on_ray and not arguments.models.is_dir():
        raise ValueError(f"--models got {arguments.models}, but there is no such folder.")
    servers = [] if on_ray and on_ray.start else run.servers(arguments.servers)
    return run.Options(
        servers, arguments.workflow, arguments.settings, arguments.timeout, arguments.patience, arguments.models,
        arguments.redo_errors, on_ray,
    )  # fmt: skip


def on_ray_of(arguments: argparse.Namespace) -> run.OnRay | None:
    """How the cluster is used, if it is.

    Raises:
        ValueError: options that contradict each other.
    """
    options = {"--ray-address": "ray_address", "--workers": "workers", "--comfyui": "comfyui"}
    given = [option for option, name in options.items() if getattr(arguments, name) is not None]
    if arguments.engine != "ray":
        if given:
            raise ValueError(f"{', '.join(given)} is for a cluster, but the engine is servers. Add --engine ray.")
        return None
    if bool(arguments.servers) == (arguments.comfyui is not None):
        got = "both" if arguments.servers else "neither"
        raise ValueError(f"--engine ray got {got} of --server and --comfyui, but one of the two is needed.")
    if arguments.workers is not None and (arguments.workers < 1 or arguments.comfyui is None):
        raise ValueError(f"--workers got {arguments.workers}, but 1 or more is needed, and --comfyui with it.")
    start = None
    if arguments.comfyui is not None:
        start = Start(arguments.comfyui, arguments.comfyui_python, tuple(arguments.comfyui_args))
    return run.OnRay(arguments.ray_address, arguments.workers, start)


def write_sheet(out: Path, sources: Mapping[str, Path]) -> Path | None:
    """The contact sheet of all records, or of as many as it takes, evenly spread."""
    file = out / records.NAME
    count = sum(1 for _ in records.read(file)[1])
    wanted = set(sheet.spread(count))
    shown = [record for index, record in enumerate(records.read(file)[1]) if index in wanted]
    return sheet.write(out, shown, sources)


def tell(summary: run.Summary, out: Path, made: Path | None, who: str) -> int:
    """Say how it ended; returns the exit code."""
    print(out / records.NAME)
    if made is not None:
        print(made, flush=True)
    if summary.failed:
        words = (
            f"{summary.failed} of {summary.rows} rows failed; their records say why. --redo-errors edits them again."
        )
        print(f"{who}: {words}", file=sys.stderr)
    if summary.stopped:
        print(f"{who}: {summary.stopped}, and rows are left. The same command goes on with them.", file=sys.stderr)
    return FAILED if summary.failed or summary.stopped else 0
