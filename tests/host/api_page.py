"""The code blocks of docs/api.md, and what they need to run: the package as a wheel holds it, `icedit` on the path."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from . import graphs

PAGE = graphs.ROOT / "docs" / "api.md"
INSTRUCTION = "paint the cyan circle red"


def blocks() -> dict[str, list[str]]:
    """Heading -> its code blocks."""
    found = {}
    for section in PAGE.read_text(encoding="utf-8").split("\n## "):
        heading, _, text = section.partition("\n")
        found[heading] = re.findall(r"^```(?:sh|python)\n(.*?)^```$", text, re.S | re.M)
    return found


def installed(folder: Path) -> dict[str, str]:
    """An environment with icedit_core alone, away from the pack, and the console script that a wheel makes."""
    shutil.copytree(graphs.ROOT / "icedit_core", folder / "lib" / "icedit_core")
    script = folder / "bin" / "icedit"
    script.parent.mkdir()
    code = "import sys; from icedit_core.cli.main import main; sys.exit(main())"
    script.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{code}' \"$@\"\n")
    script.chmod(0o755)
    beside = Path(sys.executable).parent  # where comfy-cli's script is
    path = os.pathsep.join([str(script.parent), str(beside), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(folder / "lib"), "HOME": str(folder)}


def run(
    command: list[str], folder: Path, environment: dict[str, str], limit: float = 300
) -> subprocess.CompletedProcess:
    folder.mkdir(exist_ok=True)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=limit)
