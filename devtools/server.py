"""A real ComfyUI as a child process: its own base folder, a free loopback port, the pack linked in, a sure end.

    with running_host(Path(comfyui), Path(pack)) as host:
        ... ComfyClient(host.url) ...

Only Linux was run; the ways of macOS and Windows (junctions, taskkill) are written from their documentation.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import processes

LOOPBACK = "127.0.0.1"
START_LIMIT = 300.0  # seconds; 7 to 14 are usual, a first start on a busy machine compiles for longer
PORT_TRIES = 3
MEMORY_LIMIT = 16 * 2**30  # bytes of address space for a host under test; serving takes about 6 GiB of it


class HostError(RuntimeError):
    """ComfyUI did not start; the text carries the end of its log."""


@dataclass
class Host:
    """A running ComfyUI.

    Attributes:
        url: e.g. `http://127.0.0.1:50123`.
        base: its base folder (models/, input/, output/, custom_nodes/ are inside); gone when it ends.
        log_file: everything it printed.
    """

    url: str
    base: Path
    log_file: Path
    process: subprocess.Popen[bytes]

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def place_model(self, name: str, file: Path) -> Path:
        """Make `file` appear as `models/<name>`, e.g. name `vae/ae.safetensors`."""
        return _place(self.base / "models" / name, file)


def has_accelerator() -> bool:
    """Whether this environment's torch sees a GPU that ComfyUI would take."""
    import torch

    xpu = getattr(torch, "xpu", None)
    return torch.cuda.is_available() or torch.backends.mps.is_available() or bool(xpu and xpu.is_available())


@contextmanager
def running_host(
    comfyui: Path,
    pack: Path | None,
    *,
    port: int | None = None,
    cpu: bool | None = None,
    models: Mapping[str, Path] | None = None,
    memory_limit: int | None = None,
    start_limit: float = START_LIMIT,
    extra_args: Sequence[str] = (),
) -> Iterator[Host]:
    """Start ComfyUI, wait until it answers, and end it and its children whatever happens.

    Args:
        comfyui: folder with ComfyUI's main.py; it is not written to.
        pack: folder of the node pack to link in (None for a bare host).
        port: the port to use; a free one by default.
        cpu: run on the CPU; by default only where there is no GPU.
        models: `<folder>/<file name>` below models/ -> the file to place there.
        memory_limit: bytes of address space (Linux, and only on the CPU: CUDA reserves far more than it uses).
        start_limit: seconds until it must answer.
    Raises:
        HostError: it ended or did not answer in time.
    """
    comfyui = comfyui.resolve()
    if not (comfyui / "main.py").is_file():
        raise HostError(f"running_host: got {comfyui}, but ComfyUI's main.py is not in it. Set COMFYUI_PATH.")
    cpu = not has_accelerator() if cpu is None else cpu
    with ExitStack() as stack:
        base = stack.enter_context(_base_folder(pack, models or {}))
        stack.enter_context(processes.terminated_by_signals())
        limit = memory_limit if cpu else None
        arguments = [*_arguments(base, cpu), *extra_args]
        yield stack.enter_context(_started(comfyui, base, arguments, port, limit, start_limit))


def object_info(pack: Path) -> dict[str, Any]:
    """What ComfyUI (`COMFYUI_PATH`), with the pack, says of every node: its `/object_info`."""
    with running_host(Path(os.environ["COMFYUI_PATH"]), pack, cpu=True) as host:
        return dict(_json(f"{host.url}/object_info"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        number: int = probe.getsockname()[1]
        return number


@contextmanager
def _base_folder(pack: Path | None, models: Mapping[str, Path]) -> Iterator[Path]:
    """A temporary base folder with the pack and the models in it."""
    with tempfile.TemporaryDirectory(prefix="icedit-host-", ignore_cleanup_errors=True) as folder:
        base = Path(folder).resolve()
        for name in ("models", "input", "output", "temp", "user", "custom_nodes"):
            (base / name).mkdir()
        for name, file in models.items():
            _place(base / "models" / name, file)
        link = base / "custom_nodes" / "ICEdit"
        try:
            if pack is not None:
                _link_folder(link, pack.resolve())
            yield base
        finally:
            if pack is not None:
                _unlink_folder(link)  # before the folder is removed, so that the pack never is


@contextmanager
def _started(
    comfyui: Path, base: Path, arguments: list[str], port: int | None, limit: int | None, start_limit: float
) -> Iterator[Host]:
    for attempt in range(1, PORT_TRIES + 1):
        number = port or free_port()
        command = [sys.executable, str(comfyui / "main.py"), *arguments, "--port", str(number)]
        log_file = base / "host.log"
        with processes.child(
            command, cwd=comfyui, log_file=log_file, env=_environment(), memory_limit=limit
        ) as process:
            host = Host(f"http://{LOOPBACK}:{number}", base, log_file, process)
            problem = _wait_until_ready(host, start_limit)
            if problem is None:
                yield host
                return
        # Between choosing a free port and ComfyUI's taking it, somebody else may have taken it.
        port_taken = "already in use" in host.log()
        if port is not None or not port_taken or attempt == PORT_TRIES:
            raise HostError(f"ComfyUI {problem}. The end of its log:\n{_tail(host.log())}")


def _arguments(base: Path, cpu: bool) -> list[str]:
    database = (base / "user" / "comfyui.db").as_posix()
    arguments = ["--listen", LOOPBACK, "--base-directory", str(base), "--database-url", f"sqlite:///{database}"]
    arguments += ["--disable-auto-launch", "--disable-api-nodes"]
    return [*arguments, "--cpu"] if cpu else arguments


def _environment() -> dict[str, str]:
    # Nothing that the tools start may go to a network of its own accord.
    return {**os.environ, "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}


def _wait_until_ready(host: Host, limit: float) -> str | None:
    """None when ComfyUI serves, else what is wrong, in words."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if host.process.poll() is not None:
            return f"ended with exit code {host.process.returncode} before it served"
        if str(host.base) in _argv_of(host.url):
            return None
        time.sleep(0.2)
    return f"did not answer within {limit:g} s"


def _argv_of(url: str) -> list[str]:
    """The command line of the ComfyUI that answers there: proof that it is ours and not a neighbour."""
    try:
        return list(_json(f"{url}/system_stats")["system"]["argv"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _json(url: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy cannot see our loopback
    with opener.open(url, timeout=10) as answer:
        return json.load(answer)


def _tail(log: str, lines: int = 40) -> str:
    return "\n".join(log.splitlines()[-lines:]) or "(empty)"


def _place(target: Path, file: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.name == "nt":  # links need a special right there
        shutil.copyfile(file, target)
    else:
        target.symlink_to(file.resolve(strict=True))
    return target


def _link_folder(link: Path, target: Path) -> None:
    if os.name == "nt":  # a junction needs no special right, a symlink does
        subprocess.run(["cmd", "/c", "mklink", "/J", str(link), str(target)], check=True, stdout=subprocess.DEVNULL)
    else:
        link.symlink_to(target, target_is_directory=True)


def _unlink_folder(link: Path) -> None:
    if os.name == "nt":
        os.rmdir(link)  # removes the junction, not what it points to
    else:
        link.unlink()
