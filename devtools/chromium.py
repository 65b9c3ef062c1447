"""The system's Chromium or Chrome, for the browser tests. Standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

VARIABLE = "ICEDIT_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLACES = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",)  # macOS; not run
PACKAGES = ("chromium", "fonts-noto-cjk", "fonts-noto-color-emoji")  # Debian's
MISSING = (
    f"no Chromium or Chrome found; install one, name it in {VARIABLE}, "
    "or let apt-get do it as root: python dev.py test --install-browser"
)


def find() -> Path | None:
    """A browser that runs, or None.

    Raises:
        ValueError: ICEDIT_CHROMIUM names none.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if not _runs(named):
            raise ValueError(f"{VARIABLE}: got {named}, but it does not run as a browser. Correct or unset it.")
        return Path(named)
    known = (*(shutil.which(name) for name in NAMES), *PLACES)
    return next((Path(path) for path in known if path and _runs(path)), None)


def install() -> Path:
    """The browser that is there, else the one that apt-get installs, with fonts for Chinese.

    Raises:
        ValueError: there is none, and it could not be installed.
    """
    found = find()
    if found:
        return found
    apt = shutil.which("apt-get")
    if not apt or os.geteuid() != 0:
        raise ValueError(f"{MISSING} (this needs apt-get and root, which are not both here).")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *PACKAGES]):
        subprocess.run([apt, *command], env=environment, check=False)  # what counts is whether one is there then
    found = find()
    if not found:
        raise ValueError(f"{MISSING} (apt-get was run and left none that works).")
    return found


def _runs(path: str) -> bool:
    """Whether it says its version; what some systems call chromium-browser only points to another shop."""
    try:
        said = subprocess.run([path, "--version"], check=False, capture_output=True, timeout=60, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return said.returncode == 0 and "Chrom" in said.stdout
