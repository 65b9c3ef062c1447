"""Side-by-side timing: every way once per round, so that what else the machine does falls on all of them alike."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

Way = Callable[[], object]


class Taken(NamedTuple):
    """Seconds by the clock, and of work: on a machine that does other things too, only the second can be trusted."""

    clock: float
    work: float


_STATUS = Path("/proc/self/status")


def side_by_side(ways: Mapping[str, Way], rounds: int, device: torch.device) -> dict[str, list[Taken]]:
    """What each way took in each round; one round before that counts for nothing."""
    seconds: dict[str, list[Taken]] = {name: [] for name in ways}
    for count in range(rounds + 1):
        for name, way in ways.items():
            taken = timed(way, device)
            if count:
                seconds[name].append(taken)
    return seconds


def timed(way: Way, device: torch.device) -> Taken:
    _wait(device)
    clock, work = time.perf_counter(), time.process_time()
    way()
    _wait(device)
    return Taken(time.perf_counter() - clock, time.process_time() - work)


def summary(taken: Sequence[Taken], base: Sequence[Taken]) -> dict[str, float]:
    """Median, least and most by the clock, in milliseconds, and per cent over the base.

    A percentage is the median of each round's own ratio; the quarters are of the clock's.
    """
    clock = [1000 * one.clock for one in taken]
    ratios = sorted(100 * (one.clock / plain.clock - 1) for one, plain in zip(taken, base, strict=True))
    work = [100 * (one.work / plain.work - 1) for one, plain in zip(taken, base, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    figures = {
        "median_ms": statistics.median(clock),
        "least_ms": min(clock),
        "most_ms": max(clock),
        "over_base_percent": middle,
        "quarter": low,
        "three_quarters": high,
        "work_over_base_percent": statistics.median(work),
    }
    return {name: round(value, 2) for name, value in figures.items()}


def peak_mib(way: Way, device: torch.device) -> float | None:
    """MiB that `way` takes at most above what was resident at its start; None where the system does not say."""
    if device.type == "cuda":
        _wait(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        way()
        _wait(device)
        return round((torch.cuda.max_memory_allocated(device) - before) / 2**20, 1)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    except OSError:
        return None
    before = _status("VmRSS")
    way()
    return round((_status("VmHWM") - before) / 2**10, 1)


def _status(field: str) -> int:
    """KiB."""
    return int(_STATUS.read_text(encoding="ascii").split(f"{field}:")[1].split()[0])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def machine(device: torch.device) -> dict[str, object]:
    """What the figures were measured on, and how busy it was."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load_average": None if load is None else round(load, 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
