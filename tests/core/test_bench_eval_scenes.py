"""Recorded outcomes scene by scene, and what `bench eval-scenes` counts beside them."""

import pytest

from demo import scenes
from devtools.bench import bookkeeping, eval_scenes
from workshop.figures import by_scene, figures, read_by_scene


def test_outcomes_by_scene_are_those_of_the_figures_and_read_back():
    examples = scenes.unseen(6)
    images = [example.source if number % 2 else example.target for number, example in enumerate(examples)]
    told = by_scene(examples, images)
    read = read_by_scene(told)
    assert told["success"] == "101010" and [good for good, _ in read] == [True, False] * 3
    images[2] = images[2] + 0.01234
    read, means = read_by_scene(by_scene(examples, images)), figures(examples, images)["all"]
    assert read[2][1] == pytest.approx(0.0123) and sum(error for _, error in read) / 6 == pytest.approx(
        means["outside"], abs=1e-4
    )


def test_scenes_that_differ_are_named():
    recorded = [(True, 0.01), (False, 0.02), (True, 0.0)]
    found = {str(number): {"success": 1.0, "error_outside": 0.0101} for number in range(3)}
    checked = [scenes.Verdict(number != 2, 1.0, 0.0, 0.0101) for number in range(3)]
    told = eval_scenes.compared(found, recorded, checked)
    assert (told["success_recorded"], told["success"], told["other_success"]) == (2, 3, [1])
    assert told["error_differs_by"] == {"mean": 0.0067, "most": 0.01}
    assert told["other_than_checker"] == [2] and told["error_differs_from_checker_by"] == 0
    page = eval_scenes.page({"scenes": 3, "variants": {"base": told}, "machine": "a machine"})
    assert "| 2 | 3 | 2 of 3 | 0.0067, 0.01 | 2 of 3 | 0 |" in page and "IC prompt: 1. Measured" in page


def test_edits_that_are_not_there_are_named_with_the_command(tmp_path):
    with pytest.raises(
        ValueError, match="base: 2 of 2 edits are missing. Run: python dev.py bench ablation --only base"
    ):
        eval_scenes.one("base", {"scenes": 2, "variants": {"base": {"by_scene": {}}}}, tmp_path, tmp_path)


@pytest.mark.skipif(not eval_scenes.Path("/proc/self/statm").exists(), reason="memory is read as Linux tells it")
def test_bookkeeping_counts_rows_and_parts(tmp_path):
    told = bookkeeping.bookkeeping(tmp_path, 50)
    assert told["rows"] == 50 and told["seconds_in_all"] < 60 and len(told["seconds"]) == 4
    starts = {"batch": {"first": 2.0, "again": 0.5}}
    page = bookkeeping.page({"bookkeeping": told, "starts": starts, "machine": "a machine", "python": "3"})
    assert "| batch | 2.00 | 0.50 |" in page
