"""What runs in the prepared environment: ending processes, running rings, the demo's inputs and pictures."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from devtools import processes
from devtools.commands import bench, demo, test
from devtools.compare import before_after
from icedit_core.cli.progress import Bar
from icedit_core.client import Progress

posix_only = pytest.mark.skipif(os.name == "nt", reason="process groups and signals are POSIX's")


@pytest.mark.parametrize("target", bench.BENCHMARKS.values())
def test_every_benchmark_is_there(target: str):
    module = Path(target) if target.endswith(".py") else Path(*target.split("."))
    assert any((bench.ROOT / file).is_file() for file in (module.with_suffix(".py"), module / "__main__.py"))


def written(log: Path, sign: str) -> str:
    """What a child has written, once the sign is in it."""
    deadline = time.monotonic() + 30
    while sign not in log.read_text():
        assert time.monotonic() < deadline, f"no {sign!r} in {log.read_text()!r}"
        time.sleep(0.05)
    return log.read_text()


def is_running(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")  # an orphan that nobody has reaped yet is dead all the same


class TestProcesses:
    @posix_only
    def test_a_child_ends_with_its_own_children(self, tmp_path, monkeypatch):
        monkeypatch.setattr(processes, "GRACE", 0.3)
        log = tmp_path / "log"
        script = "trap '' TERM; sleep 600 & echo $!; wait"  # the grandchild inherits the deafness too
        with pytest.raises(ZeroDivisionError), processes.child(["/bin/sh", "-c", script], cwd=tmp_path, log_file=log):
            grandchild = int(written(log, "\n"))
            raise ZeroDivisionError
        deadline = time.monotonic() + 10
        while is_running(grandchild) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_running(grandchild)

    @posix_only
    def test_what_does_not_listen_is_killed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(processes, "GRACE", 0.3)
        code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
        command = [sys.executable, "-c", f"{code}; time.sleep(99)"]
        with processes.child(command, cwd=tmp_path, log_file=tmp_path / "log") as process:
            written(tmp_path / "log", "deaf")
        assert process.returncode == -signal.SIGKILL

    @pytest.mark.skipif(sys.platform != "linux", reason="the limit on address space is enforced on Linux")
    def test_the_memory_limit_ends_the_child_and_nobody_else(self, tmp_path):
        code, limit = "x = bytearray(2**30)", 2**29
        with processes.child(
            [sys.executable, "-c", code], cwd=tmp_path, log_file=tmp_path / "log", memory_limit=limit
        ) as p:
            assert p.wait(30) == 1
        assert "MemoryError" in (tmp_path / "log").read_text()

    @posix_only
    def test_a_termination_unwinds_the_stack(self):
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"), processes.terminated_by_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


class TestRings:
    def pack(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **rings: str) -> None:
        for name, code in rings.items():
            file = folder / "tests" / name / "test_it.py"
            file.parent.mkdir(parents=True)
            file.write_text(code)
        (folder / "pyproject.toml").write_text("")
        monkeypatch.setattr(test, "ROOT", folder)
        monkeypatch.setattr(test, "has_accelerator", lambda: False)

    GOOD, BAD = "def test_it():\n    pass\n", "def test_it():\n    assert 0\n"

    def test_all_rings_run_each_closing_line_is_repeated_and_one_failure_fails(self, tmp_path, monkeypatch, capfd):
        self.pack(tmp_path, monkeypatch, host=self.BAD, core=self.GOOD, other=self.GOOD)
        assert test.rings() == ["core", "host", "other"]
        assert test.main(["core", "host", "other"]) == 1
        summary = capfd.readouterr().out.splitlines()[-3:]
        assert [line.split(" in ")[0].split() for line in summary] == [
            ["core:", "1", "passed"],
            ["host:", "1", "failed"],
            ["other:", "1", "passed"],
        ]

    def test_pytest_arguments_reach_every_ring(self, tmp_path, monkeypatch, capfd):
        self.pack(tmp_path, monkeypatch, core=self.GOOD, host=self.GOOD.replace("test_it", "test_that"))
        assert test.main(["core", "host", "--", "-k", "that"]) == 0
        assert "core:    1 deselected" in capfd.readouterr().out

    def test_the_linters_run_beside_the_first_ring(self, tmp_path, monkeypatch, capfd):
        self.pack(tmp_path, monkeypatch, core=self.GOOD, host=self.GOOD)
        (tmp_path / "devtools").mkdir()
        linter = "print('words')\nprint('lint:    so')\nraise SystemExit(1)"
        (tmp_path / "devtools" / "__main__.py").write_text(linter)
        monkeypatch.setattr(test, "CODE", tmp_path)
        assert test.main([]) == 1
        said = capfd.readouterr().out
        assert said.index("tests/core") < said.index("words") < said.index("tests/host")
        assert [line.split(" in ")[0].split() for line in said.splitlines()[-3:]] == [
            ["lint:", "so"],
            ["core:", "1", "passed"],
            ["host:", "1", "passed"],
        ]

    def test_a_ring_that_dies_or_is_empty_is_a_failure(self, tmp_path, monkeypatch, capfd):
        self.pack(tmp_path, monkeypatch, core="import os\nos._exit(0x7f)\n", host="")
        assert test.main(["core"]) == 1
        assert "exit code 127 without a closing line" in capfd.readouterr().out
        assert test.main(["host"]) == 1

    def test_the_packs_root_is_not_on_the_path_of_a_ring(self, tmp_path, monkeypatch, capfd):
        code = "import sys\ndef test_it():\n    assert '' not in sys.path and {!r} not in sys.path\n"
        self.pack(tmp_path, monkeypatch, host=code.format(str(tmp_path)))
        assert test.main(["host"]) == 0

    def test_an_unknown_ring_is_an_error(self, tmp_path, monkeypatch, capsys):
        self.pack(tmp_path, monkeypatch, core=self.GOOD)
        with pytest.raises(SystemExit, match="2"):
            test.main(["cor"])
        assert "got cor, but the rings are lint, core" in capsys.readouterr().err


class TestDemo:
    @pytest.fixture
    def graph(self) -> dict:
        return json.loads(demo.WORKFLOW.read_text(encoding="utf-8"))

    def inputs(self, graph: dict, class_type: str) -> dict:
        (found,) = [node["inputs"] for node in graph.values() if node["class_type"] == class_type]
        return found

    def test_wishes_land_in_the_shipped_workflow(self, graph):
        assert demo.fill_in(graph, image="mine.png", instruction="remove it", seed=7) == "remove it"
        assert self.inputs(graph, "LoadImage") == {"image": "mine.png"}
        assert self.inputs(graph, "KSampler")["seed"] == 7
        assert self.inputs(graph, "ICEditPrompt")["instruction"] == "remove it"
        assert not [node for node in graph.values() if node["class_type"] == "ICEditDemoScene"]
        assert graph[demo.BEFORE]["inputs"]["images"] == self.inputs(graph, "ICEditDiptych")["image"]

    def test_without_wishes_only_the_look_before_is_added(self, graph):
        shipped = json.loads(json.dumps(graph))
        words = demo.fill_in(graph)
        assert words == self.inputs(shipped, "ICEditPrompt")["instruction"]
        assert {k: v for k, v in graph.items() if k != demo.BEFORE} == shipped

    def test_a_missing_picture_is_said_before_anything_starts(self, tmp_path, capsys):
        assert demo.main(["--image", str(tmp_path / "none.png")]) == 2
        assert "there is no such file" in capsys.readouterr().err

    def test_a_picture_without_words_is_not_edited_by_those_of_the_demo(self, tmp_path, capsys):
        file = tmp_path / "mine.png"
        Image.new("RGB", (32, 32)).save(file)
        assert demo.main(["--image", str(file)]) == 2
        assert "Add --instruction" in capsys.readouterr().err

    def test_what_is_no_picture_is_said_before_anything_starts(self, tmp_path, capsys):
        (tmp_path / "mine.png").write_text("no picture")
        assert demo.main(["--image", str(tmp_path / "mine.png"), "--instruction", "make it red"]) == 2
        assert "a picture is needed" in capsys.readouterr().err

    @pytest.mark.parametrize("size", [(16, 16), (64, 48), (200, 900), (3000, 1000), (1, 1)])
    def test_before_after_shows_both_enlarged_or_shrunk_and_leaves_them_alone(self, size):
        before, after = Image.new("RGB", size, (255, 0, 0)), Image.new("RGB", size, (0, 0, 255))
        sheet = before_after(before, after, "make it blue " * 20)
        assert before.size == size and max(sheet.size) <= 2200
        colours = {colour: count for count, colour in sheet.getcolors(2**24)}
        assert colours[255, 0, 0] == colours[0, 0, 255] >= 384 * 384 / 12
        assert colours[30, 30, 30] > 50  # the words

    def test_enlarging_keeps_pixels_square_and_sharp(self):
        chequers = Image.new("RGB", (64, 64))
        chequers.putpixel((10, 20), (255, 0, 0))
        sheet = before_after(chequers, chequers, "x")
        assert dict((c, n) for n, c in sheet.getcolors(2**24))[255, 0, 0] == 2 * 6 * 6

    def test_progress_without_a_terminal_is_a_line_a_stage(self):
        out = io.StringIO()
        with Bar(out) as bar:
            for step in [
                Progress("1", "KSampler", 0, 0),
                Progress("1", "KSampler", 1, 2),
                Progress("1", "KSampler", 2, 2),
            ]:
                bar.show(step)
            for number in ("2", "1", "3"):  # further nodes of the type, and the first one heard of again
                bar.show(Progress(number, "KSampler", 2, 2))
            bar.show(Progress("4", "VAEDecode", 0, 0))
        lines = ["KSampler: 2 steps", "KSampler 2: 2 steps", "KSampler 3: 2 steps", "VAEDecode"]
        assert out.getvalue() == "".join(f"  {line}\n" for line in lines)

    def test_progress_in_a_terminal_is_one_line(self):
        out = io.StringIO()
        out.isatty = lambda: True
        with Bar(out) as bar:
            bar.show(Progress("1", "KSampler", 1, 2))
            bar.show(Progress("2", "X", 0, 0))
        *shown, end = out.getvalue().split("\r")[1:]
        assert shown == ["[" + "#" * 15 + "." * 15 + "] 1/2 KSampler"]
        assert end.endswith("\n") and end.startswith("[" + "." * 30 + "] X") and len(end) == len(shown[0]) + 1
