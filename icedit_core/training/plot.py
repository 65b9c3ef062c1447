"""The loss curve as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..whole_files import write_whole


def loss_plot(path: Path, steps: Sequence[float], losses: Sequence[float]) -> None:
    """Draw every step's loss faintly and its running median over a fiftieth of the training; the scale is logarithmic.

    Single losses depend mostly on the drawn time t, so the median is what to look at.
    """
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(steps, losses, linewidth=0.5, alpha=0.35, color="tab:blue")
    width = max(1, len(losses) // 50)
    if width > 1:
        middle = np.median(np.lib.stride_tricks.sliding_window_view(np.asarray(losses), width), axis=1)
        axes.plot(steps[width - 1 :], middle, color="tab:blue", label=f"median of {width} steps")
        axes.legend()
    axes.set(xlabel="step", ylabel="loss", yscale="log" if min(losses) > 0 else "linear")
    axes.grid(alpha=0.3, which="both")
    write_whole(path, lambda beside: figure.savefig(beside, dpi=100))
