"""Readers are told which recorded figures are of earlier weights of the demo."""

import json
import re
from pathlib import Path

import pytest

from demo import model_files

ROOT = Path(__file__).resolve().parents[2]
MARKS = {"docs/tested.md": "of its weights): ", "docs/tested.zh.md": "\uff09\uff1a"}

UNREAD = "icedit_demo_clip_l.safetensors"  # what the model makes of it is multiplied by zeros


def hashes_in(figures: object) -> set[tuple[str, str]]:
    """Every (file of weights, SHA-256) that recorded figures name."""
    if not isinstance(figures, dict):
        return set()
    own = {(name, value) for name, value in figures.items() if name.endswith(".safetensors") and name != UNREAD}
    return own.union(*(hashes_in(value) for name, value in figures.items() if name != "earlier"))


def test_a_files_hashes_are_found_wherever_they_lie():
    assert hashes_in({"a": {"sha256": {"x.safetensors": "1"}}, "earlier": {"weights": {"y.safetensors": "2"}}}) == {
        ("x.safetensors", "1")
    }


@pytest.mark.parametrize("page", MARKS)
def test_the_files_of_earlier_weights_are_listed(page):
    now, earlier = set(model_files.hashes().items()), []
    for file in sorted((ROOT / "benchmarks").glob("*.json")):
        if not hashes_in(json.loads(file.read_text(encoding="utf-8"))) <= now:
            earlier.append(file.name)
    (said,) = [part for part in (ROOT / page).read_text(encoding="utf-8").split("\n- ") if "SHA-256" in part]
    listed = re.findall(r"`(\w+\.json)`", said.split(MARKS[page])[1])
    assert listed == earlier, "say: " + (", ".join(f"`{name}`" for name in earlier) or "none")
