"""The demo's scenes, as `demo/export_pairs.py` writes them: the exact target is known, so an edit is right or wrong."""

from __future__ import annotations

from ..items import About
from .folder import read

__all__ = ["ABOUT", "read"]

ABOUT = About(
    "scenes",
    "An edit is a success if over 90 % of the truly edited pixels are nearer the target than the source, with a mean "
    "absolute error below 0.10 inside the edit and below 0.04 outside: the demo's own checker.",
    ("success", "pixels", "quality", "unedited"),
    against="target",
)
