"""What a hostile server can do to whoever runs `icedit edit`: be of no use, and nothing else."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from icedit_core.cli import pictures

from .comfy_stand_in import picture
from .hostile_comfy import MB, HostileComfy

pytestmark = pytest.mark.skipif(os.name == "nt", reason="measured by POSIX's resource module")
ROOT = Path(__file__).resolve().parents[2]
SEED = 16
TIMEOUT = 1.0  # seconds, as --timeout
PATIENCE = 6.0  # seconds for all of an edit: that time-out, taking the edit off, and a busy machine
MEMORY = 300 * MB
KEPT = {"photo.png": picture(), "keep.txt": b"mine", "out/keep.png": b"mine", "keep.png": b"mine", "main.py": b"mine"}
OUTS = ([], ["-o", "out"], ["-o", "o.png"], ["-o", "keep.png", "--overwrite"], ["-o", "o.jpg"], ["-o", "o.webp"])


@pytest.fixture
def worker():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, str(Path(__file__).with_name("edit_worker.py"))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    yield process
    process.stdin.close()
    process.wait(20)


def edit(worker: subprocess.Popen, folder: Path, url: str, out: list[str]) -> dict:
    arguments = ["edit", "photo.png", "words", "--server", url, "--timeout", str(TIMEOUT), *out]
    worker.stdin.write(json.dumps([str(folder), arguments]) + "\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def prepare(folder: Path) -> Path:
    for name, data in KEPT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def harm(folder: Path, out: list[str], report: dict) -> list[str]:
    """What went wrong in a round, in words."""
    words = report["said"].encode("latin-1")
    text = words.decode("utf-8", "replace")
    found = [f"exit code {report['code']!r}"] if report["code"] not in (0, 1, 2) else []
    found += ["a traceback"] if "Traceback" in text or "never retrieved" in text else []
    found += [f"raw {c!r}" for c in set(text) if not (c.isprintable() or c in "\n\u200c\u200d")]
    found += [f"{report['took']:.1f} s"] if report["took"] > PATIENCE else []
    found += ["words without end"] if len(text) > 50_000 else []
    for file in sorted(folder.parent.rglob("*")):
        name = file.relative_to(folder.parent).as_posix().removeprefix(f"{folder.name}/")
        if file.is_dir():
            found += [f"a folder {name}"] if name not in (folder.name, "out") else []
        elif name in KEPT and file.read_bytes() == KEPT[name]:
            continue
        elif name in KEPT and name not in out:
            found.append(f"{name} was replaced")
        elif not allowed(name, out):
            found.append(f"{name} was written")
        else:
            pictures.kind(file)  # raises if it is none
    return found


def allowed(name: str, out: list[str]) -> bool:
    """Whether the user asked for a file of that name."""
    if not out:
        return name.startswith("photo_icedit") and name.endswith(".png")
    if out[1] == "out":
        return name.startswith("out/") and name[4] not in ".-" and name.endswith(".png") and name.isprintable()
    stem, ending = out[1].split(".")
    return name == out[1] or (name.startswith(f"{stem}_") and name.endswith(f".{ending}"))


@pytest.mark.parametrize("rounds", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_hundreds_of_hostile_replies(worker, tmp_path, rounds):
    server = HostileComfy(SEED)
    wrong: dict[int, list[str]] = {}
    codes = []
    with server.serving():
        start = edit(worker, prepare(tmp_path / "start" / "home"), "http://127.0.0.1:9", [])["peak"]
        for number in range(rounds):
            folder = prepare(tmp_path / str(number) / "home")
            out = random.Random(f"{SEED} {number}").choice(OUTS)
            report = edit(worker, folder, f"{server.url}/{number}", out)
            codes.append(report["code"])
            if found := harm(folder, out, report):
                wrong[number] = [*found, str(out), report["said"][-1500:]]
    assert not wrong, json.dumps(wrong, indent=1)
    assert server.strays == []
    assert report["peak"] - start < MEMORY
    assert codes.count(0) >= 0.1 * rounds and codes.count(1) >= 0.3 * rounds  # the server was no mere wall
