"""Each published layout is read from a small sample of exactly its structure; what is broken is named and counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from icedit_core.batch.rows import Broken
from icedit_core.evaluation import protocols
from icedit_core.evaluation.items import Choice, Item
from icedit_core.evaluation.protocols import pie
from icedit_core.training.data.rows import BrokenRow

from . import eval_samples as samples

CASES = {
    "magicbrush": (
        samples.magicbrush, ["7-1", "7-2"], ["source is null", "instruction is", "target cannot be", "twice"],
    ),
    "magicbrush_turns": (
        samples.magicbrush, ["7-1", "7-2"], ["source is null", "instruction is", "target cannot be", "twice"],
    ),
    "emu": (samples.emu, ["1", "2"], ["image is null", "instruction is", "image cannot be", "twice"]),
    "gedit": (
        samples.gedit, ["color_alter/en/a", "style_change/en/b"],
        ["input_image is null", "instruction is", "input_image cannot be", "twice"],
    ),
    "imgedit": (
        samples.imgedit, ["1", "2"], ["is missing", "prompt is", "leads out", "an object with id", "cannot be decoded"],
    ),
    "pie": (
        samples.pie, ["0", "1"],
        ["is missing", "editing_instruction is", "pairs of start", "a run at 262144", "64x48 px", "editing_prompt is"],
    ),
    "folder": (
        samples.own, ["good", "plain"],
        ["is missing", "instruction is", "cannot be decoded", "leads out", "twice", "mask is 32x24", "is no JSON"],
    ),
}  # fmt: skip


def read(name: str, data: Path, **choice) -> tuple[list[Item], list[Broken]]:
    made = list(protocols.read(name, data, Choice(**choice)))
    return [m for m in made if isinstance(m, Item)], [m for m in made if isinstance(m, Broken)]


@pytest.mark.parametrize("name", CASES)
def test_rows_are_read_and_broken_ones_named(tmp_path: Path, name: str):
    sample, keys, reasons = CASES[name]
    items, broken = read(name, sample(tmp_path / "data"))
    assert [item.key for item in items] == keys
    assert len(broken) == len(reasons)
    for bad, reason in zip(broken, reasons, strict=True):
        assert reason in bad.reason, (bad, reason)
    assert len({bad.key for bad in broken} | set(keys)) == len(broken) + len(keys)
    assert all(item.source.mode == "RGB" and item.instruction for item in items)


def test_what_each_layout_gives(tmp_path: Path):
    (first, second), _ = read("magicbrush", samples.magicbrush(tmp_path / "m"))
    assert first.task == "turn 1" and np.array_equal(first.target, second.source)
    (first, second), _ = read("emu", samples.emu(tmp_path / "e"))
    assert first.captions == ("a grey cat", "a red cat") and second.captions is None and first.target is None
    (only,), _ = read("gedit", samples.gedit(tmp_path / "g"), language="cn")
    assert only.key == "color_alter/cn/a" and np.array_equal(only.source, samples.image(2))
    (first, _), _ = read("imgedit", samples.imgedit(tmp_path / "i"))
    assert first.task == "add" and first.source.size == (64, 48)
    (first, _), _ = read("folder", samples.own(tmp_path / "f"))
    assert first.task == "colour" and np.asarray(first.mask).mean() == pytest.approx(255 * 400 / (64 * 48))


def test_turns_of_a_session_follow_each_other(tmp_path: Path):
    (first, second), _ = read("magicbrush_turns", samples.magicbrush(tmp_path / "m"))
    assert (first.after, first.last, first.task) == ("", False, "turn 1 of 2")
    assert (second.after, second.last, second.task) == ("7-1", True, "turn 2 of 2")
    _, broken = read("magicbrush_turns", samples.parquet(tmp_path / "gap", [
        {"img_id": "1", "turn_index": turn, "source_img": samples.packed(1), "instruction": "x",
         "target_img": samples.packed(2)} for turn in (1, 3)
    ]))  # fmt: skip
    assert len(broken) == 2 and "its session has the turns [1, 3]" in broken[0].reason


def test_the_first_rows_alone(tmp_path: Path):
    items, broken = read("pie", samples.pie(tmp_path), limit=3)
    assert len(items) == 2 and len(broken) == 1


def published_decode(encoded: list[int]) -> np.ndarray:
    """Pixel by pixel: runs of start and length, cut at the end, then the border."""
    flat = [0] * (512 * 512)
    for start, length in zip(encoded[::2], encoded[1::2], strict=True):
        for at in range(start, min(start + length, 512 * 512)):
            flat[at] = 1
    mask = np.array(flat).reshape(512, 512)
    for edge in (0, 511):
        mask[edge, :] = mask[:, edge] = 1
    return mask


@pytest.mark.parametrize("encoded", [[], [0, 5], [1000, 700, 90_000, 3], [262_000, 5000], [512 * 512 - 1, 1]])
def test_pie_masks_are_decoded_as_published(encoded: list[int]):
    assert np.array_equal(pie.decoded("x", encoded), published_decode(encoded))


@pytest.mark.parametrize("encoded", [None, "1 2", [1], [1, -1], [1.5, 2], [True, 1], [512 * 512, 1]])
def test_masks_that_are_none(encoded):
    with pytest.raises(BrokenRow, match="mask"):
        pie.decoded("x", encoded)


def test_pie_prompts_lose_their_brackets_and_types_have_names(tmp_path: Path):
    (first, second), _ = read("pie", samples.pie(tmp_path))
    assert first.captions == ("a grey cat", "a red cat")
    assert (first.task, second.task) == ("1 change object", "9 change style")
    mask = np.asarray(first.mask) > 127
    assert mask[100, 50:250].all() and not mask[102, 1:-1].any() and mask[0].all() and mask[:, -1].all()


@pytest.mark.parametrize("name", CASES)
def test_another_layout_is_refused_by_name(tmp_path: Path, name: str):
    with pytest.raises(ValueError, match="--data"):
        read(name, tmp_path)
