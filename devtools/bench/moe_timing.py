"""Side-by-side timing: every way once a round, in random order, so that what else runs falls on all alike."""

from __future__ import annotations

import ctypes
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from workshop.machine import processor

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

Way = Callable[[], object]
_STATUS = Path("/proc/self/status")
_MMAP_MAX, _TRIM_THRESHOLD = -4, -1  # of glibc's mallopt


class Taken(NamedTuple):
    """Seconds by the clock, and of work: on a machine that does other things too, only the second can be trusted."""

    clock: float
    work: float
    faults: int  # pages that the system had to hand out


def side_by_side(ways: Mapping[str, Way], rounds: int, device: torch.device) -> dict[str, list[Taken]]:
    """What each way took in each round; one round before that counts for nothing."""
    seconds: dict[str, list[Taken]] = {name: [] for name in ways}
    for count in range(rounds + 1):
        for name in shuffled(ways, count):
            taken = timed(ways[name], device)
            if count:
                seconds[name].append(taken)
    return seconds


def shuffled(names: Mapping[str, object], count: int) -> list[str]:
    """The order of a round; a fixed one would let each way always follow the same other."""
    return random.Random(count).sample(list(names), len(names))


def timed(way: Way, device: torch.device) -> Taken:
    wait(device)
    clock, work, faults = time.perf_counter(), time.process_time(), _faults()
    way()
    wait(device)
    return Taken(time.perf_counter() - clock, time.process_time() - work, _faults() - faults)


def summary(taken: Sequence[Taken], base: Sequence[Taken]) -> dict[str, float]:
    """Median by the clock in milliseconds, per cent over the base by the clock and in work, page faults.

    A percentage is the median of each round's own ratio, with the quarters beside it.
    """
    figures: dict[str, float] = {
        "median_ms": round(statistics.median(1000 * one.clock for one in taken), 2),
        "work_ms": round(statistics.median(1000 * one.work for one in taken), 2),
        "faults": int(statistics.median(one.faults for one in taken)),
    }
    for kind in ("clock", "work"):
        ratios = [100 * (getattr(one, kind) / getattr(plain, kind) - 1) for one, plain in zip(taken, base, strict=True)]
        quarters = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
        names = (f"{kind}_quarter", f"{kind}_over_base_percent", f"{kind}_three_quarters")
        figures |= {name: round(value, 2) for name, value in zip(names, quarters, strict=True)}
    return figures


def over_base(row: Mapping[str, float], kind: str) -> str:
    """What `summary` found over the base, for people; `kind` is "clock" or "work"."""
    quarters = f"{row[f'{kind}_quarter']:+.1f} .. {row[f'{kind}_three_quarters']:+.1f}"
    return f"{row[f'{kind}_over_base_percent']:+.1f} % ({quarters})"


@contextmanager
def memory_kept() -> Iterator[None]:
    """Freed memory stays with the process, where the C library can be told so.

    By default it goes back to the system and comes again in pages of 4 KiB: about a million page faults in one step
    of full width. How many depends on where the blocks happen to lie, and outweighs what is measured here.
    """
    libc = _glibc()
    if libc:
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        if libc:
            libc.mallopt(_MMAP_MAX, 65536)
            libc.mallopt(_TRIM_THRESHOLD, 128 << 10)
            libc.malloc_trim(0)


def memory_can_be_kept() -> bool:
    return _glibc() is not None


def peak_mib(way: Way, device: torch.device) -> float | None:
    """MiB that `way` takes at most above what was held at its start; None where the system does not say.

    Not inside `memory_kept`, where the start already holds what the way will take.
    """
    if device.type == "cuda":
        wait(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        way()
        wait(device)
        return round((torch.cuda.max_memory_allocated(device) - before) / 2**20, 1)
    before = resident_mib()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    except OSError:
        return None
    way()
    return None if before is None else round(_status("VmHWM") - before, 1)


def resident_mib() -> float | None:
    """MiB of memory that the process holds, less what it has freed already."""
    if libc := _glibc():
        libc.malloc_trim(0)
    return _status("VmRSS") if _STATUS.is_file() else None


def machine(device: torch.device) -> dict[str, object]:
    """What the figures were measured on, and how busy it was."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load_average": None if load is None else round(load, 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def machine_words(found: Mapping[str, object]) -> str:
    """What `machine` found, for people."""
    return f"{found['device']}, {found['threads']} of {found['cores']} cores, load {found['load_average']}"


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _status(field: str) -> float:
    return int(_STATUS.read_text(encoding="ascii").split(f"{field}:")[1].split()[0]) / 2**10


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt if resource else 0


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
