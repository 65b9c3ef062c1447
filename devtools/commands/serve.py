"""Serves ComfyUI with the pack and the demo model until Ctrl-C, for a person with a browser."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from pathlib import Path

from ..server import LOOPBACK, Host, HostError, free_port, running_host

ROOT = Path(__file__).resolve().parents[2]
USUAL_PORT = 8188


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="dev.py serve", description=__doc__)
    parser.add_argument("--port", type=int, help=f"default: {USUAL_PORT}, or a free one if that is taken")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the images (default: ./out)")
    options = parser.parse_args(argv)
    if options.port and not _is_free(options.port):
        parser.error(f"got port {options.port}, but something serves there already. Choose another, or leave it out.")
    options.out.mkdir(parents=True, exist_ok=True)
    port = options.port or (USUAL_PORT if _is_free(USUAL_PORT) else free_port())
    keep_images = ["--output-directory", str(options.out.resolve())]
    print("starting ComfyUI ...", flush=True)
    try:
        with running_host(Path(os.environ["COMFYUI_PATH"]), ROOT, port=port, extra_args=keep_images) as host:
            print(f"\n    {host.url}\n")
            print(f"Images go to {options.out.resolve()}. Models that you want to try go to {host.base / 'models'};")
            print(
                "that folder, and workflows saved in the browser, end with the server. Ctrl-C stops it.\n", flush=True
            )
            return _follow(host)
    except HostError as problem:
        print(problem, file=sys.stderr)
        return 1


def _follow(host: Host) -> int:
    """Repeat ComfyUI's log until it ends; it was not asked to, so its exit code is ours."""
    with host.log_file.open(encoding="utf-8", errors="replace") as log:
        while True:
            text = log.read()
            if text:
                print(text, end="", flush=True)
            elif host.process.poll() is not None:
                print(f"ComfyUI ended with exit code {host.process.returncode}.", file=sys.stderr)
                return host.process.returncode or 1
            else:
                time.sleep(0.3)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) != 0
