"""Runs one command of dev.py inside the prepared environment: `python devtools COMMAND ...`."""

import importlib
import os
import sys

COMMANDS = ("demo", "test", "serve", "bench", "new-node")

if __name__ == "__main__":
    # Python put this folder on the path, whose server.py would hide ComfyUI's; the pack's root is meant.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    command = sys.argv[1]
    if command not in COMMANDS:
        sys.exit(f"devtools: got {command}, but only {', '.join(COMMANDS)} exist.")
    module = importlib.import_module(f"devtools.commands.{command.replace('-', '_')}")
    try:
        sys.exit(module.main(sys.argv[2:]))
    except KeyboardInterrupt:
        sys.exit(130)
