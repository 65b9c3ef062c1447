"""Whether a library that a metric needs is there; nothing is imported for it."""

from __future__ import annotations

import importlib.util


def missing(library: str) -> str:
    """Why a library cannot be used, or ""."""
    return "" if importlib.util.find_spec(library) else f"the package {library} is not installed"
