"""What the adapter reader owes any file: a valid adapter, or one ValueError that a person can act on."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch

from icedit_core.adapters import files
from icedit_core.adapters.moe import MoELoRA
from icedit_core.adapters.weights import Adapter, LowRank, Routed

LONGEST_MESSAGE = 2000
MOST_SECONDS = 5.0  # of CPU time, for the few kilobytes of a changed file
SPARE_BYTES = 64 << 20  # what one load may add to the process's peak beside a multiple of the file
TIMES_FILE = 16  # a header's JSON takes about ten times its length once parsed


class Outcome(NamedTuple):
    """kind: `loads` or `refused`; words: the adapter's summary, or the error."""

    kind: str
    words: str


class Find(Exception):
    """The reader broke its promise; the text says how."""


def judge(path: Path) -> Outcome:
    """Read a file and hold the reader to its promise.

    Raises:
        Find: any other exception than ValueError, an error nobody can act on, an adapter that is none, or more time
            or memory than such a file can need.
    """
    started, peak = time.process_time(), peak_bytes()
    try:
        adapter, top_k = files.load(path)
    except ValueError as error:
        outcome = Outcome("refused", str(error))
        _check_message(outcome.words, path.name)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a find is whatever else comes out, panics of native code included
        raise Find(f"{type(error).__name__}: {error}") from error
    else:
        outcome = Outcome("loads", adapter.summary())
        _check_adapter(adapter, top_k)
        _check_all_used(adapter, path)
    if (took := time.process_time() - started) > MOST_SECONDS:
        raise Find(f"slow: {took:.1f} s of CPU time")
    if (grown := peak_bytes() - peak) > SPARE_BYTES + TIMES_FILE * path.stat().st_size:
        raise Find(f"memory: the peak grew by {grown >> 20} MiB for a file of {path.stat().st_size} bytes")
    return outcome


def peak_bytes() -> int:
    """The most memory this process has held so far; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _check_message(message: str, name: str) -> None:
    faults = []
    if not message.startswith("ICEdit adapter: "):
        faults.append("does not say who speaks")
    if name not in message:
        faults.append("does not name the file")
    if not message.isprintable():
        faults.append("holds control characters")
    if len(message) > LONGEST_MESSAGE:
        faults.append(f"is {len(message)} characters long")
    if ". " not in message:
        faults.append("has no remedy")
    if faults:
        raise Find(f"message {' and '.join(faults)}: {message[:300]}")


def _check_adapter(adapter: Adapter, top_k: int) -> None:
    if not adapter.plain and not adapter.routed:
        raise Find("an adapter without a layer")
    if top_k < 1:
        raise Find(f"top_k {top_k}")
    for name, update in adapter.plain.items():
        _check_update(name, update)
    for name, routed in adapter.routed.items():
        for expert in routed.experts:
            _check_update(name, expert)
        if routed.router.shape != (len(routed.experts), routed.experts[0].down.shape[1]):
            raise Find(f"{name}: a router {tuple(routed.router.shape)} of {len(routed.experts)} experts")
        _check_layer(name, routed)


def _check_all_used(adapter: Adapter, path: Path) -> None:
    """Every number of the file is in the adapter, alphas apart: none dropped, none taken for a namesake's."""
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")], object_pairs_hook=list)
    entries = [dict(entry) for name, entry in header if name != "__metadata__" and not name.endswith(".alpha")]
    held = sum(math.prod(entry["shape"]) for entry in entries)
    used = sum(u.numel for u in adapter.plain.values()) + sum(u.numel for u in adapter.routed.values())
    if held != used:
        raise Find(f"the file holds {held} numbers, the adapter {used}")


def _check_layer(name: str, routed: Routed) -> None:
    try:
        layer = MoELoRA(routed, 1, torch.float32)
        shape = layer(torch.zeros(2, layer.in_features)).shape
    except Exception as error:
        raise Find(f"{name}: the layer cannot be built: {type(error).__name__}: {error}") from error
    if shape != (2, layer.out_features):
        raise Find(f"{name}: the layer's output has the shape {tuple(shape)}")


def _check_update(name: str, update: LowRank) -> None:
    down, up = update.down, update.up
    if down.ndim != 2 or up.ndim != 2 or down.shape[0] != up.shape[1] or not down.numel() * up.numel():
        raise Find(f"{name}: matrices {tuple(down.shape)} and {tuple(up.shape)}")
    if not math.isfinite(update.scale) or not all(bool(m.float().isfinite().all()) for m in (down, up)):
        raise Find(f"{name}: values that are not finite")
