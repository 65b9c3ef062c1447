"""A long bench shows that it is at work, and what it measured outlives it."""

import json
import logging
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from demo import scenes
from devtools.bench import ablation
from devtools.bench import progress as core
from devtools.bench.progress import Progress, clock, packed, unpacked
from workshop import ablation_page, machine

ROOT = Path(__file__).resolve().parents[2]


def square(number: int) -> list[int]:
    return [number, number**2]


def test_a_stopped_bench_goes_on_where_it_was(tmp_path: Path, caplog):
    caplog.set_level(logging.INFO)
    measured: list[int] = []

    def run(until: int) -> dict:
        with Progress("bench", 5, {"seed": 1}, tmp_path) as progress:
            for number in range(5):
                if number == until:
                    raise KeyboardInterrupt
                progress.get(str(number), lambda n=number: measured.append(n) or square(n))
            return progress.results

    with pytest.raises(KeyboardInterrupt):
        run(until=3)
    (file,) = tmp_path.iterdir()
    assert f"stopped; 3 of 5 are kept in {file}" in caplog.text
    assert json.loads(file.read_text().splitlines()[0]) == {"seed": 1}
    assert run(until=9) == {str(n): square(n) for n in range(5)}
    assert measured == [0, 1, 2, 3, 4], "nothing is measured twice"
    assert f"3 of 5 are kept from an earlier run in {file}; delete it" in caplog.text
    assert not list(tmp_path.iterdir()), "the figures are written: the next run begins anew"


def test_a_killed_process_loses_only_what_it_was_at(tmp_path: Path):
    script = f"""
import sys, time; sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from devtools.bench.progress import Progress
with Progress("bench", 9, {{}}, Path({str(tmp_path)!r})) as progress:
    for n in range(9):
        progress.get(str(n), lambda: n * n)
        print(n, flush=True)
        time.sleep(0 if n < 3 else 60)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert [process.stdout.readline().strip() for _ in range(4)] == ["0", "1", "2", "3"]
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    (file,) = tmp_path.iterdir()
    with file.open("a") as end:
        end.write('["4", 1')  # cut off in the middle of a line
    again = Progress("bench", 9, {}, tmp_path)
    assert again.results == {"0": 0, "1": 1, "2": 4, "3": 9}
    again.add("4", 16)
    assert Progress("bench", 9, {}, tmp_path).results["4"] == 16


def test_results_of_other_options_are_neither_taken_nor_lost(tmp_path: Path):
    for seed in (1, 2):
        progress = Progress("bench", 3, {"seed": seed}, tmp_path)
        assert progress.results == {}
        progress.add("0", seed)
    for seed in (1, 2):
        assert Progress("bench", 3, {"seed": seed}, tmp_path).results == {"0": seed}


def test_figures_that_could_not_be_written_are_not_measured_again(tmp_path: Path, caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(KeyError), Progress("bench", 1, {}, tmp_path) as progress:
        progress.add("0", 1)
        raise KeyError("wording")
    assert "stopped; 1 of 1 are kept in" in caplog.text
    assert Progress("bench", 1, {}, tmp_path).results == {"0": 1}


def test_a_file_that_grows_is_kept(tmp_path: Path):
    with Progress("bench", 1, {}, tmp_path, remove=False) as progress:
        progress.add("0", 1)
    with Progress("bench", 2, {}, tmp_path, remove=False) as progress:
        assert progress.results == {"0": 1} and progress.done == 1


def test_the_time_left_follows_the_pace_of_this_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog):
    caplog.set_level(logging.INFO)
    now = 1000.0
    monkeypatch.setattr(core.time, "monotonic", lambda: now)
    Progress("bench", 10, {}, tmp_path).add("before", 0)
    progress = Progress("bench", 10, {}, tmp_path)
    assert progress.state() == "1 of 10 after 0:00"
    for number in range(3):
        now += 20
        progress.add(str(number), number, note="3 ms" if number == 2 else "")
    assert progress.state() == "4 of 10 after 1:00, about 2:00 left"
    assert caplog.messages[-1] == "bench: 4 of 10 after 1:00, about 2:00 left; 3 ms"
    said = len(caplog.messages)
    progress.add("at once", 0)
    assert len(caplog.messages) == said, "no line for each of a thousand"


def test_a_long_measurement_is_not_silent(caplog):
    caplog.set_level(logging.INFO)
    with Progress("bench", 2, silence=0.02):
        deadline = time.monotonic() + 20
        while len(caplog.messages) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert caplog.messages[:3] == ["bench: at work, 0 of 2 after 0:00"] * 3
    time.sleep(0.1)
    count = len(caplog.messages)
    time.sleep(0.1)
    assert len(caplog.messages) == count, "a bench that ended says nothing more"


def test_without_a_file_nothing_is_written(tmp_path: Path):
    with Progress("bench", 2, folder=tmp_path) as progress:
        assert progress.get("a", lambda: object) is object
    assert not list(tmp_path.iterdir())


def test_other_code_is_another_digest(tmp_path: Path):
    file = tmp_path / "nodes" / "a.py"
    file.parent.mkdir()
    file.write_text("x = 1")
    before = core.code(tmp_path)
    assert core.code(tmp_path) == before != core.code()
    file.write_text("x = 2")
    assert core.code(tmp_path) != before


def test_pictures_come_back_as_they_were():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    assert np.array_equal(unpacked(packed(picture)), picture)


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (65, "1:05"), (59.6, "1:00"), (3725, "1:02:05")])
def test_clock(seconds, shown):
    assert clock(seconds) == shown


def test_a_stopped_ablation_measures_the_rest_and_makes_the_page_of_all(tmp_path: Path):
    recorded = json.loads((ROOT / "benchmarks" / "ablation.json").read_text(encoding="utf-8"))
    apart = ("variants", "earlier", "ceiling", "machine", "torch")
    facts = {name: value for name, value in recorded.items() if name not in apart}
    examples = scenes.unseen(12)
    shown = ablation_page.chosen(examples)
    pictures = [packed((examples[i].source * 255).round().astype(np.uint8)) for i in shown]
    progress = Progress("ablation", 9, {}, tmp_path / "out")
    progress.add("ceiling", {"figures": recorded["ceiling"]})
    for name, figures in recorded["variants"].items():
        progress.add(name, {"figures": figures, "shown": pictures})
    again = Progress("ablation", 9, {}, tmp_path / "out")
    found = ablation.measured(again, ["ceiling", *recorded["variants"]], 12, shown, 1, one=None)
    kept = {"variants": {}, "earlier": recorded.get("earlier")}
    ablation.write(kept, found, facts, [examples[i] for i in shown], tmp_path)
    assert json.loads((tmp_path / "ablation.json").read_text())["variants"] == recorded["variants"]
    page, before = ((folder / "ablation.md").read_text(encoding="utf-8") for folder in (tmp_path, ROOT / "benchmarks"))
    assert [line for line in page.splitlines() if "|" in line] == [li for li in before.splitlines() if "|" in li]
    assert (tmp_path / "ablation.png").stat().st_size > 1000
    few = {name: {"figures": {"all": recorded["ceiling"]["all"]}} for name in found}  # of 12 scenes none may be a swap
    page = ablation_page.page(recorded | {"variants": {name: few[name] for name in recorded["variants"]}})
    assert page.count("| - | - |") >= len(recorded["variants"])


def test_the_machine_names_its_processor():
    assert machine.processor() in machine.describe("no GPU used")
    assert machine.describe("no GPU used").endswith(" CPU cores, no GPU used")
    assert len(machine.processor()) > 3
