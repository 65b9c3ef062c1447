"""Whether a command has the packages that it needs; nothing is imported before that is known."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping


def check(command: str, modules: Mapping[str, str], remedy: str) -> None:
    """Look for the modules without importing them.

    Args:
        modules: module -> the package that brings it.
        remedy: what installs them all, in the folder of this pack.
    Raises:
        ValueError: some are missing.
    """
    missing = [package for module, package in modules.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ValueError(
            f"{command}: {', '.join(missing)} cannot be imported, but it needs that. "
            f"Run: {remedy} in the folder of this pack."
        )
