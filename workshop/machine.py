"""The machine that figures were measured on; figures are not the same on every processor."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe(*more: str) -> str:
    """The system, the processor by name and its cores, and what else matters, e.g. "no GPU used"."""
    cores = f"{platform.system()} {platform.machine()}, {processor()}, {os.cpu_count()} CPU cores"
    return ", ".join((cores, *more))


def processor() -> str:
    """The processor's name as the system gives it, with AMX named: it changes the rounding of matrix products."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "an unnamed processor"
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    named = fields.get("model name") or platform.processor() or "an unnamed processor"
    return f"{named} with AMX" if "amx_tile" in fields.get("flags", "").split() else named
