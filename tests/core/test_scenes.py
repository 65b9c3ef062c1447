"""The synthetic scenes and their exact checker."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def scenes():
    """`demo/scenes`, imported as the demo's scripts do."""
    sys.path.insert(0, str(ROOT / "demo"))
    try:
        yield importlib.import_module("scenes")
    finally:
        sys.path.remove(str(ROOT / "demo"))


@pytest.fixture(scope="module")
def examples(scenes):
    return scenes.unseen(300)


def test_the_checker_passes_every_target(examples):
    assert all(e.check(e.target).success for e in examples)


def test_the_checker_passes_no_source(examples):
    assert not any(e.check(e.source).success for e in examples)


def test_the_checker_passes_under_5_percent_of_other_scenes_targets(examples):
    passed = [e.check(o.target).success for e, o in zip(examples, examples[7:] + examples[:7], strict=True)]
    assert np.mean(passed) < 0.05


def test_the_checker_passes_under_5_percent_of_other_edits_of_the_same_scene(scenes):
    edits = importlib.import_module("scenes.edits")
    passed = []
    for seed in range(scenes.UNSEEN, scenes.UNSEEN + 60):
        done = []
        for task in scenes.TASKS * 2:
            rng, other = np.random.default_rng(seed), np.random.default_rng(len(done))
            scene = edits.draw_scene(rng)
            try:
                done.append(edits.apply_edit(other, scene, task, 64))
            except edits.Rejected:
                continue
        for i, (source, target, *_) in enumerate(done):
            for j, (_, other_target, *_) in enumerate(done):
                if i != j and not np.array_equal(target, other_target):
                    passed.append(scenes.judge(source, target, other_target).success)
    assert len(passed) > 2000
    assert np.mean(passed) < 0.05


def test_a_blurred_or_shifted_target_keeps_its_error_outside_in_the_verdict(scenes):
    example = scenes.make(scenes.UNSEEN, task="remove")
    worse = example.target + np.where(scenes.changed_pixels(example.source, example.target), 0, 0.05)[..., None]
    verdict = example.check(worse.astype(np.float32))
    assert verdict.outside == pytest.approx(0.05, abs=1e-4)
    assert verdict.inside == pytest.approx(0.0, abs=1e-6)
    assert not verdict.success


def test_a_seed_is_one_scene(scenes):
    first, again, other = scenes.make(5), scenes.make(5), scenes.make(6)
    assert np.array_equal(first.target, again.target)
    assert first.instruction == again.instruction
    assert not np.array_equal(first.source, other.source)


@pytest.mark.parametrize("size", [128, 256])
def test_a_larger_panel_shows_the_same_scene(scenes, size):
    for seed in range(scenes.UNSEEN, scenes.UNSEEN + 24):
        small, large = scenes.make(seed), scenes.make(seed, size)
        k = size // 64
        shrunk = large.target.reshape(64, k, 64, k, 3).mean(axis=(1, 3))
        assert large.instruction == small.instruction
        assert np.abs(shrunk - small.target).mean() < 0.005
        assert small.check(shrunk).success


def test_families_are_balanced_and_words_are_known(scenes, examples):
    counts = {task: sum(e.task == task for e in examples) for task in scenes.TASKS}
    assert set(counts.values()) == {50}
    known = set(scenes.vocabulary())
    assert {word for e in examples for word in e.instruction.split()} <= known


def test_pictures_are_rgb_in_range_and_instructions_are_distinct(examples):
    for e in examples:
        for image in (e.source, e.target):
            assert image.shape == (64, 64, 3)
            assert image.dtype == np.float32
            assert 0 <= image.min() <= image.max() <= 1
        assert e.caption
    assert len({e.instruction for e in examples}) > 150


def test_an_instruction_names_one_shape_only(scenes):
    edits = importlib.import_module("scenes.edits")
    for seed in range(300):
        names = [s.name for s in edits.draw_scene(np.random.default_rng(seed)).shapes]
        assert len(set(names)) == len(names)


def test_an_unknown_task_names_the_tasks(scenes):
    with pytest.raises(ValueError, match="recolour, remove"):
        scenes.make(0, task="rotate")


def test_a_wrong_size_is_refused(scenes):
    example = scenes.make(0)
    with pytest.raises(ValueError, match="one size"):
        example.check(np.zeros((32, 32, 3), np.float32))
