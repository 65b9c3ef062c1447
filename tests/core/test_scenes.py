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


def scenes_edits():
    return importlib.import_module("scenes.edits")


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
    passed = []
    for seed in range(scenes.UNSEEN, scenes.UNSEEN + 30):
        scene, edits = scenes_edits().draw_scene(np.random.default_rng(seed)), []
        for turn, task in enumerate(scenes.TASKS * 2):
            try:
                edits.append(scenes_edits().draw_edit(np.random.default_rng(turn), scene, task))
            except scenes_edits().Rejected:
                continue
        done = [(edit.source(64), edit.target(64)) for edit in edits]
        for i, (source, target) in enumerate(done):
            for j, (_, other_target) in enumerate(done):
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


@pytest.mark.parametrize("k", [2, 3])
def test_a_larger_panel_shows_the_same_scene(scenes, k):
    side = scenes.PANEL
    for seed in range(scenes.UNSEEN, scenes.UNSEEN + 24):
        small, large = scenes.make(seed), scenes.make(seed, k * side)
        shrunk = large.target.reshape(side, k, side, k, 3).mean(axis=(1, 3))
        assert large.instruction == small.instruction
        assert np.abs(shrunk - small.target).mean() < 0.005
        assert small.check(shrunk).success


def test_families_are_balanced_and_words_are_known(scenes, examples):
    counts = {task: sum(e.task == task for e in examples) for task in scenes.TASKS}
    assert set(counts.values()) == {50}
    known = set(scenes.vocabulary())
    assert {word.strip(",") for e in examples for word in e.instruction.split()} <= known


def test_pictures_are_rgb_in_range_and_instructions_are_distinct(scenes, examples):
    for e in examples:
        for image in (e.source, e.target):
            assert image.shape == (scenes.PANEL, scenes.PANEL, 3)
            assert image.dtype == np.float32
            assert 0 <= image.min() <= image.max() <= 1
        assert e.caption
    assert len({e.instruction for e in examples}) > 150


def test_an_instruction_names_one_shape_only(scenes):
    for seed in range(300):
        names = [s.name for s in scenes_edits().draw_scene(np.random.default_rng(seed)).shapes]
        assert len(set(names)) == len(names)


def test_splits_are_thirds_and_keep_what_they_promise(scenes, examples):
    wordings = importlib.import_module("scenes.wordings")
    for split in scenes.SPLITS:
        members = [e for e in examples if e.split == split]
        assert abs(len(members) - 100) <= 4
        assert {e.task for e in members} == set(scenes.TASKS)
        assert all(e.edit.is_held_out == (split == "combination") for e in members)
        for e in members:
            known = wordings.STYLES[e.edit.style] if e.edit.style else wordings.WORDS[e.task]
            asked = {w.format(**e.edit.words()).lower() for w in known}
            assert (e.instruction.lower() in asked) == (split != "wording")


def test_training_never_draws_a_held_out_combination_and_every_colour_and_shape_is_still_seen(scenes):
    drawn = [scenes.make(seed, 16).edit for seed in range(1500)]
    assert not any(edit.is_held_out for edit in drawn)
    held_out = importlib.import_module("scenes.held_out")
    kept = {(s.colour, s.kind) for edit in drawn if edit.task == "recolour" for s in (edit.old, edit.new)}
    draw = importlib.import_module("scenes.draw")
    everything = {(c, k) for c in draw.SHAPE_COLOURS for k in draw.SHAPES}
    assert kept == everything - held_out.COMBINATIONS["recolour"]


def test_a_held_out_wording_has_no_word_of_its_own_and_is_no_wording_of_training(scenes):
    wordings = importlib.import_module("scenes.wordings")
    known = set(scenes.vocabulary())
    trained = {w for ways in (wordings.WORDS, wordings.STYLES) for group in ways.values() for w in group}
    for ways in (wordings.HELD_OUT_WORDS, wordings.HELD_OUT_STYLES):
        for group in ways.values():
            for wording in group:
                assert wording not in trained
                assert {w.strip(",") for w in wording.split() if "{" not in w} <= known, wording


def test_captions_describe_and_never_ask(scenes):
    captions = importlib.import_module("scenes.captions")
    asked = {"make", "change", "turn", "paint", "recolor", "remove", "delete", "erase", "add", "put", "draw", "place"}
    asked |= {"replace", "swap", "exchange", "convert", "invert", "give", "set", "take", "get", "should"}
    rng = np.random.default_rng(0)
    for seed in range(300):
        edit = scenes.make(seed, 16).edit
        for text in (captions.difference(edit, rng), captions.pair(edit, rng), edit.caption()):
            assert not asked & {word.strip(",.").lower() for word in text.split()}, text
            assert "{" not in text
