"""Rows over a Ray cluster: the worker without a cluster; with one, what a killed worker and a killed command leave."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from icedit_core import folder_lock
from icedit_core.batch import ray_engine, ray_worker, records, run, started
from icedit_core.batch.places import Work
from icedit_core.batch.rows import Row
from icedit_core.batch.started import Start
from icedit_core.cli import main

from .comfy_stand_in import picture
from .test_batch_command import SAMPLED, Worker, found, pictures, servers  # noqa: F401 (a fixture)

ROOT = Path(__file__).resolve().parents[2]
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None or os.name == "nt",
    reason="the package ray is not in this environment (pip install '.[ray]'), or no POSIX",
)
ANSWERS = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Type", "application/json"); self.end_headers()
        self.wfile.write(b'{"system": {}}')
    def log_message(self, *_): pass
print("ready at", sys.argv)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


def row(folder: Path) -> Row:
    (folder / "a.png").write_bytes(picture())
    return Row("a.png", "a", folder / "a.png", "make it blue", 3)


async def test_a_worker_sends_the_pictures_and_says_what_went_wrong(tmp_path, servers):  # noqa: F811
    (tmp_path / "pictures").mkdir()
    worker = ray_worker.Worker(servers[0].url, None)
    options = run.Options([servers[0].url], "icedit_flux_fill", timeout=5)
    work, head = await worker.prepare(options, None, True)
    assert head["workflow_name"] == "icedit_flux_fill" and work.folder == Path("pictures")
    made = await worker.edit(work, row(tmp_path), picture())
    assert (made.kind, made.pictures, made.facts["seed"]) == ("done", {"a.png": picture()}, 3)
    done = ray_engine.Place("x", None, tmp_path / "pictures")._saved(made)
    assert done.files == ["pictures/a.png"] and (tmp_path / "pictures" / "a.png").read_bytes() == picture()
    servers[0].files["demo_00001_.png"] = b"no picture"
    refused = await worker.edit(work, row(tmp_path), picture())
    assert refused.kind == "refused" and "was not saved" in refused.words
    lacking = await worker.prepare(options, {"1": {"class_type": "None", "inputs": {}}}, True)
    assert isinstance(lacking, ray_worker.Reply) and lacking.kind == "refused" and "lacks node types" in lacking.words
    away = ray_worker.Worker("http://127.0.0.1:9", None)
    assert await worker.is_up() and not await away.is_up()
    gone = await away.edit(work, row(tmp_path), picture())
    assert (gone.kind, gone.began) == ("lost", False)


async def test_a_comfyui_is_started_again_and_ends_with_its_worker(tmp_path):
    (tmp_path / "main.py").write_text(ANSWERS)
    worker = ray_worker.Worker(None, Start(tmp_path, arguments=("--cpu",)))
    assert await worker.is_up()
    first = worker._started
    assert first is not None and "--cpu" in first.said()
    picture_file = first.folder / "output" / "a" / "1.png"
    picture_file.parent.mkdir()
    picture_file.write_bytes(picture())
    first.empty()
    old(first.folder)
    started.remove_abandoned()
    assert not picture_file.exists() and picture_file.parent.parent.is_dir(), "emptied, and in use"
    first.end()
    assert await worker.is_up() and worker._started is not first
    await worker.close()
    nothing = ray_worker.Worker(None, Start(tmp_path / "none"))
    lost = await nothing.edit(Work(SAMPLED, {}, frozenset(), 5, tmp_path), row(tmp_path), picture())
    assert lost.kind == "broken" and "main.py is not in it" in lost.words


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_what_a_killed_process_started_ends_too(tmp_path):
    (tmp_path / "main.py").write_text(ANSWERS)
    code = f"""
        import time; from pathlib import Path; from icedit_core.batch.started import Start, Started
        made = Started(Start(Path({str(tmp_path)!r})))
        print(made.folder, made.url, flush=True); time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    folder, url = parent.stdout.readline().split()
    port = url.rpartition(":")[2]
    until = time.monotonic() + 20
    while not running(port):  # Linux shows no command while a process is being replaced
        assert time.monotonic() < until
        time.sleep(0.05)
    assert Path(folder).is_dir()
    assert children_of(parent.pid) == running(port), "no process stands between, which could be killed alone"
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    until = time.monotonic() + 20
    while running(port):
        assert time.monotonic() < until
        time.sleep(0.1)
    old(Path(folder), seconds=0)
    started.remove_abandoned()
    assert Path(folder).is_dir(), "one so new might be about to be locked"
    old(Path(folder))
    started.remove_abandoned()
    assert not Path(folder).exists()


def old(folder: Path, seconds: float = 60) -> None:
    os.utime(folder / folder_lock.NAME, (time.time() - seconds,) * 2)


def running(port: str) -> list[int]:
    seen = {int(file.parent.name): file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists()}
    return [number for number, line in seen.items() if b"main.py" in line and port.encode() in line]


def children_of(number: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{number}/task/{number}/children").read_text().split()]


def test_how_many_workers():
    start = Start(Path("x"))

    def planned(gpus, **asked):
        return ray_engine.planned(run.Options(["http://a", "http://b"], "w", ray=run.OnRay(**asked)), gpus)

    assert [one[:2] for one in planned(0)] == [("http://a", "http://a"), ("http://b", "http://b")]
    assert [one[3] for one in planned(2, start=start)] == [1, 1]
    assert [one[3] for one in planned(0, start=start, workers=3)] == [0, 0, 0]
    with pytest.raises(ValueError, match="--workers got 3, but the cluster has 2 GPUs"):
        planned(2, start=start, workers=3)
    with pytest.raises(ValueError, match="Add --workers N"):
        planned(0, start=start)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workers", "2"], "--workers is for a cluster"),
        (["--engine", "ray"], "ray cannot be imported|neither of --server and --comfyui"),
    ],
)
def test_wrong_arguments(tmp_path, capsys, arguments, words):
    import re

    assert main.main(["batch", str(pictures(tmp_path / "in", 1)), "-o", str(tmp_path / "out"), *arguments]) == 2
    assert re.search(words, capsys.readouterr().err)


@needs_ray
def test_rows_over_a_cluster_with_a_killed_command(tmp_path):
    rows, out = pictures(tmp_path / "in", 8), tmp_path / "out"
    with Worker().serving() as first, Worker().serving() as second:
        second.dies_at = 4
        command = [sys.executable, "-m", "icedit_core.cli", "batch", str(rows), "-o", str(out), "--engine", "ray"]
        command += ["--server", first.url, "--server", second.url, "--timeout", "20", "--patience", "90"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        killed = subprocess.Popen(command, env=environment, cwd=tmp_path)
        until = time.monotonic() + 300
        while not (out / records.NAME).is_file() or (out / records.NAME).read_bytes().count(b"\n") < 3:
            assert time.monotonic() < until and killed.poll() is None
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        done = subprocess.run(command, env=environment, cwd=tmp_path, timeout=400, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    kept = found(out)
    assert len(kept) == 8 and not any(record["error"] for record in kept.values())
    assert {record["server"] for record in kept.values()} <= {first.url, second.url}
    assert all((out / record["files"][0]).read_bytes() == picture() for record in kept.values())
