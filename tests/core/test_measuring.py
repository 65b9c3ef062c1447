"""A training waits while a bench measures, and goes on afterwards."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workshop.measuring import is_measuring, measuring

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="file locks and stop signals of POSIX")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ICEDIT_CACHE", str(tmp_path))


def test_who_measures_is_seen_by_others_and_no_longer_afterwards():
    assert not is_measuring()
    with measuring():
        assert is_measuring()
        with measuring():  # a second bench
            assert is_measuring()
    assert not is_measuring()


def test_a_bench_that_was_killed_measures_no_more():
    code = "import time\nfrom workshop.measuring import measuring\n"
    code += "with measuring():\n print(1, flush=True)\n time.sleep(60)"
    bench = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    bench.stdout.readline()
    assert is_measuring()
    bench.send_signal(signal.SIGKILL)
    bench.wait()
    bench.stdout.close()
    assert not is_measuring()


def test_a_stage_stands_still_meanwhile_and_fails_in_words(tmp_path, monkeypatch):
    train = pytest.importorskip("workshop.train")
    monkeypatch.setattr(train, "POLL", 0.05)
    package = tmp_path / "workshop"
    package.mkdir()
    ticks = tmp_path / "ticks"
    (package / "count.py").write_text(
        f"import time\nfor i in range(60):\n    open({str(ticks)!r}, 'a').write('.')\n    time.sleep(0.05)\n"
    )
    (package / "broken.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(train, "ROOT", tmp_path)
    with measuring():
        held = subprocess.Popen(
            [sys.executable, "-c", _RUN.format(root=str(ROOT), folder=str(tmp_path))], env={**os.environ}
        )
        time.sleep(6)
        before = ticks.stat().st_size if ticks.exists() else 0
        time.sleep(1)
        assert before < 60
        assert (ticks.stat().st_size if ticks.exists() else 0) == before
    assert held.wait(60) == 0
    assert ticks.stat().st_size == 60
    with pytest.raises(RuntimeError, match="broken failed with exit code 3"):
        train.run(["broken"])


_RUN = """
import sys, pathlib
sys.path.insert(0, {root!r})
from workshop import train
train.POLL, train.ROOT = 0.05, pathlib.Path({folder!r})
train.run(["count"])
"""
