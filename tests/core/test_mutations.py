"""Changed folders of strangers: refused or right, in bounded time and memory; `dev.py bench mutations` runs more."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings

from .mutation_kinds import KINDS, Find, Kind, read_files
from .mutation_table import changed

KEPT = Path(__file__).parents[1] / "fixtures" / "mutations"  # KIND-what/: finds, to stay mended
TURNS = {"lora": 60, "peft": 35, "model": 5, "folder": 30, "parquet": 30, "arrow": 30, "checkpoint": 10}  # 200


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def kind(request, tmp_path_factory) -> Kind:
    return request.param(tmp_path_factory.mktemp(request.param.name))


def test_whole_ones_are_read(kind: Kind):
    assert kind.outcome(kind.whole) == "read"


def test_changed_ones_are_refused_or_right(kind: Kind):
    outcomes = set()

    @seed(1)
    @settings(max_examples=TURNS[kind.name], database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(changed(kind.whole))
    def check(files):
        outcomes.add(kind.outcome(files))

    check()
    assert len(outcomes) > 1 or kind.name == "folder"  # of which each row is refused by itself


def test_finds_stay_mended(kind: Kind):
    for folder in sorted(KEPT.glob(f"{kind.name}-*")):
        kind.outcome(kind.whole | read_files(folder))


@pytest.mark.parametrize(
    ("error", "find"),
    [
        (TypeError("oops"), "TypeError: oops"),
        (ValueError("no"), "does not say who speaks"),
        (ValueError("ICEdit x: bad\n. Sorry."), "cannot be used as a sentence"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_what_breaks_the_promise_is_found(tmp_path, error, find):
    class Bad(Kind):
        name = "bad"

        def make(self, folder):
            return {"a.json": b"{}"}

        def check(self, folder):
            raise error

    with pytest.raises(Find, match=find):
        Bad(tmp_path).outcome({"a.json": b"{}"})
