"""How benches write figures and pages, and go through scenes in batches."""

import json

import pytest

from devtools.bench import sampled_scenes
from devtools.bench.progress import Progress
from workshop import report


def test_a_table_has_a_cell_under_every_heading_and_may_begin_without_one():
    assert report.table(["a", "b"], [[1, "x"], ["", 2.5]]) == ["| a | b |", "|---|---|", "| 1 | x |", "|  | 2.5 |"]
    assert report.table(["", "b"], []) == ["| | b |", "|---|---|"]


def test_figures_and_page_are_written_together_and_read_again(tmp_path):
    figures = {"rows": [{"a": 1}, {"a": 2}], "machine": "one of \u03bc"}
    report.write(tmp_path / "new", "bench", figures, "# Page\n")
    assert report.read(tmp_path / "new", "bench") == figures and report.read(tmp_path, "bench") == {}
    assert (tmp_path / "new" / "bench.md").read_text(encoding="utf-8") == "# Page\n"
    report.write_figures(tmp_path, "long", figures, lines="rows")
    text = (tmp_path / "long.json").read_text(encoding="utf-8")
    assert json.loads(text) == figures and '\n  {"a": 1},\n  {"a": 2}\n' in text


def test_the_recorded_table_of_the_early_filter_is_written_as_it_stands(tmp_path):
    report.write_figures(tmp_path, "early_filter", report.read(report.FOLDER, "early_filter"), lines="table")
    written, recorded = (folder / "early_filter.json" for folder in (tmp_path, report.FOLDER))
    assert written.read_bytes() == recorded.read_bytes()


def test_a_value_stands_before_its_interval():
    assert report.between(0.5, report.wilson(18, 36), ".0%") == "50% (34% to 66%)"
    assert report.wilson(0, 60)[0] == pytest.approx(0, abs=1e-12)


def test_every_run_sees_every_scene_once_and_kept_batches_are_taken_over(tmp_path):
    asked = []

    def run(part):
        asked.append(list(part))
        return [{"scene": scene} for scene in part]

    with Progress("scenes", 4, {}, tmp_path, remove=False) as progress:
        found = sampled_scenes.rows(progress, range(5), 3, {"one": run, "two": run})
    assert found["one"] == found["two"] == [{"scene": scene} for scene in range(5)]
    assert asked == [[0, 1, 2], [0, 1, 2], [3, 4], [3, 4]] and len(progress.results) == 4
    with Progress("scenes", 4, {}, tmp_path) as progress:
        assert sampled_scenes.rows(progress, range(5), 3, {"one": run, "two": run}) == found
    assert len(asked) == 4
