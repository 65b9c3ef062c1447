"""The life of a host in our care, with a stand-in that starts at once; the host ring has the real ComfyUI."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from devtools.server import HostError, free_port, running_host

ROOT = Path(__file__).resolve().parents[2]
MAIN = """
import argparse, http.server, json, os, sys
parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int); parser.add_argument("--base-directory"); parser.add_argument("--mute")
options, _ = parser.parse_known_args()
print("serving from", options.base_directory, flush=True)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(json.dumps({"system": {"argv": [] if options.mute else sys.argv}}).encode())

http.server.HTTPServer(("127.0.0.1", options.port), Handler).serve_forever()
"""


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    folder = tmp_path / "comfyui"
    folder.mkdir()
    (folder / "main.py").write_text(MAIN)
    return folder


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "__init__.py").write_text("NODE_CLASS_MAPPINGS = {}\n")
    return folder


def test_it_ends_with_an_exception_and_leaves_the_pack_alone(comfyui: Path, pack: Path, tmp_path: Path):
    model = tmp_path / "model.bin"
    model.write_bytes(b"weights")
    with pytest.raises(KeyError), running_host(comfyui, pack, cpu=True, models={"vae/small.bin": model}) as host:
        assert (host.base / "custom_nodes" / "ICEdit" / "__init__.py").is_file()
        assert (host.base / "models" / "vae" / "small.bin").read_bytes() == b"weights"
        assert host.place_model("loras/late.bin", model).read_bytes() == b"weights"
        assert f"serving from {host.base}" in host.log()
        raise KeyError
    assert host.process.returncode is not None and not host.base.exists()
    assert (pack / "__init__.py").is_file() and model.is_file()


def test_two_at_once_do_not_meet(comfyui: Path, pack: Path):
    with running_host(comfyui, pack, cpu=True) as one, running_host(comfyui, pack, cpu=True) as two:
        assert one.url != two.url and one.base != two.base
    assert not one.base.exists() and not two.base.exists() and pack.is_dir()


def test_somebody_elses_server_on_the_port_is_not_taken_for_ours(comfyui: Path):
    port = free_port()
    with running_host(comfyui, None, cpu=True, port=port) as other:
        with pytest.raises(HostError, match=r"(?s)ended with exit code 1 .*[Aa]ddress already in use"):
            with running_host(comfyui, None, cpu=True, port=port):
                pass
        assert urllib.request.urlopen(f"{other.url}/system_stats", timeout=5).status == 200


def test_another_port_is_tried_when_ours_was_taken_in_the_meantime(comfyui: Path, monkeypatch: pytest.MonkeyPatch):
    with running_host(comfyui, None, cpu=True) as other:
        taken = int(other.url.rsplit(":", 1)[1])
        ports = iter([taken, taken, free_port()])
        monkeypatch.setattr("devtools.server.free_port", lambda: next(ports))
        with running_host(comfyui, None, cpu=True) as host:
            assert host.url != other.url
    assert next(ports, None) is None


def test_a_server_that_never_gets_ready_is_ended_in_time(comfyui: Path):
    with pytest.raises(HostError, match=r"(?s)did not answer within 2 s.*serving from"):
        with running_host(comfyui, None, cpu=True, start_limit=2, extra_args=["--mute", "1"]):
            pass


def test_a_folder_that_is_no_comfyui_is_said(tmp_path: Path):
    with pytest.raises(HostError, match=r"main\.py is not in it"), running_host(tmp_path, None, cpu=True):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's promise to end a child with its parent is Linux's")
def test_it_ends_when_its_parent_is_killed(comfyui: Path, tmp_path: Path):
    code = (
        "import time; from pathlib import Path; from devtools.server import running_host\n"
        f"with running_host(Path({str(comfyui)!r}), None, cpu=True) as host:\n"
        "    print(host.process.pid, flush=True); time.sleep(600)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # a killed parent cannot clean up
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, env=environment)
    try:
        pid = int(parent.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
    finally:
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.1)
