"""The cache of latents and text states: what it holds; built once, resumed after a kill, its gaps told."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from icedit_core.prompt import wrap
from icedit_core.training import cache_build
from icedit_core.training.base import Base, load_base
from icedit_core.training.cache import Cache, build_cache
from icedit_core.training.data import BrokenRow, Row, Rows, open_rows

from ..rounding import assert_rounded
from .training_models import write_flux_folder
from .training_samples import picture, write_folder

ROOT = Path(__file__).resolve().parents[2]
PANEL = (32, 16)


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "flux"
    write_flux_folder(folder)
    return folder


@pytest.fixture(scope="module")
def base(base_folder: Path) -> Base:
    return load_base(str(base_folder), torch.float32)


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Ten pairs with three instructions; the rows 2 and 7 are broken."""
    folder = write_folder(tmp_path / "pairs", 10, (48, 24))
    (folder / "images" / "2_a.png").unlink()
    (folder / "images" / "7_b.png").write_bytes(b"torn")
    return open_rows(SimpleNamespace(format="folder", path=folder))


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several files of rows and of prompts."""
    monkeypatch.setattr(cache_build, "ROWS_A_FILE", 4)
    monkeypatch.setattr(cache_build, "ROWS_A_BATCH", 3)
    monkeypatch.setattr(cache_build, "PROMPTS_A_FILE", 3)
    monkeypatch.setattr(cache_build, "PROMPTS_A_BATCH", 2)


def pixels(image: Image.Image, size: tuple[int, int] = PANEL) -> torch.Tensor:
    return torch.from_numpy(np.array(image.resize(size, Image.Resampling.BICUBIC))).permute(2, 0, 1)[None] / 255


def everything(cache: Cache) -> dict[str, torch.Tensor]:
    return cache.batch(range(len(cache)))


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_an_item_is_what_the_base_gives_for_the_whole_diptych(rows: Rows, base: Base, tmp_path: Path):
    cache = build_cache(rows, base, panel=PANEL, folder=tmp_path / "cache")
    assert len(cache) == 8
    assert cache.keys == [f"pairs.jsonl:{n}" for n in (1, 2, 4, 5, 6, 7, 9, 10)]
    assert cache.tasks == [None, "recolour", "recolour", None, "recolour", None, None, "recolour"]
    item, row = cache[4], rows[5]
    source, target = pixels(row.source), pixels(row.target)
    grey = torch.full_like(source, 0.5)
    assert_rounded(item.target, base.encode_images(torch.cat([source, target], 3))[0])
    assert_rounded(item.condition, base.encode_images(torch.cat([source, grey], 3))[0])
    states, pooled = base.encode_prompts([wrap("turn the circle 2")])
    assert_rounded(item.states, states[0])
    assert_rounded(item.pooled, pooled[0])
    assert (item.key, item.task) == ("pairs.jsonl:6", "recolour")
    assert item.target.shape == (16, 2, 8)
    assert item.changed.shape == (1, 2, 8)


def test_changed_is_the_share_of_edited_pixels_on_the_right(base: Base, tmp_path: Path):
    source = np.full((16, 32, 3), 100, np.uint8)
    target = source.copy()
    target[:8, :4] = 200  # half of the first cell
    target[8:, 24:] += 10  # less than an edit

    class One:
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> Row:
            return Row("k", Image.fromarray(source), Image.fromarray(target), "brighten it")

        def fingerprint(self) -> str:
            return "one"

    changed = build_cache(One(), base, panel=PANEL, folder=tmp_path)[0].changed
    expected = torch.zeros(1, 2, 8)
    expected[0, 0, 4] = 0.5
    assert torch.equal(changed, expected)


def test_batches_stack_items_and_drop_texts(rows: Rows, base: Base, tmp_path: Path):
    cache = build_cache(rows, base, panel=PANEL, folder=tmp_path / "cache")
    batch = cache.batch(torch.tensor([3, 0, 3]), drop=torch.tensor([False, True, True]))
    for place, index in enumerate([3, 0, 3]):
        assert torch.equal(batch["target"][place], cache[index].target)
        assert torch.equal(batch["changed"][place], cache[index].changed)
    empty, empty_pooled = base.encode_prompts([" "])
    assert torch.equal(batch["states"][0], cache[3].states)
    assert_rounded(batch["states"][1:], empty.expand(2, -1, -1))
    assert_rounded(batch["pooled"][1:], empty_pooled.expand(2, -1))
    with pytest.raises(IndexError):
        cache[8]


def test_a_cache_left_in_its_files_gives_the_same_numbers(rows: Rows, base: Base, tmp_path: Path):
    cache = build_cache(rows, base, panel=PANEL, folder=tmp_path / "cache")
    mapped = build_cache(rows, base, panel=PANEL, folder=tmp_path / "cache", in_memory=0)
    order = [5, 0, 7, 7, 2]
    assert equal(cache.batch(order), mapped.batch(order))
    assert mapped.bytes == cache.bytes > 8 * 2 * 16 * 16 * 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_expected_size_is_that_of_a_cache_whose_prompts_all_differ(base: Base, tmp_path: Path, dtype: torch.dtype):
    folder = write_folder(tmp_path / "pairs", 3)  # three instructions
    rows = open_rows(SimpleNamespace(format="folder", path=folder))
    cache = build_cache(rows, base, panel=PANEL, folder=tmp_path, dtype=dtype)
    assert cache.bytes == cache_build.expected_bytes(3, base, PANEL, dtype)


def test_each_prompt_is_stored_once(rows: Rows, base: Base, tmp_path: Path):
    build_cache(rows, base, panel=PANEL, folder=tmp_path)
    stored = sum(len(load_file(file)["states"]) for file in tmp_path.rglob("prompts-*.safetensors"))
    assert stored == 1 + 3


def test_broken_rows_are_named_in_the_log_and_counted(rows: Rows, base: Base, tmp_path: Path, caplog):
    with caplog.at_level(logging.WARNING):
        cache = build_cache(rows, base, panel=PANEL, folder=tmp_path)
    assert [key for key, _ in cache.broken] == ["pairs.jsonl:3", "pairs.jsonl:8"]
    assert "row pairs.jsonl:3 is left out: the source file is missing" in caplog.text
    assert "2 of 10 rows are broken" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        build_cache(rows, base, panel=PANEL, folder=tmp_path)
    assert "2 of 10 rows are broken" in caplog.text


def test_no_more_than_twenty_broken_rows_are_named(rows: Rows, base: Base, tmp_path: Path, caplog):
    class Mostly:
        def __len__(self) -> int:
            return 40

        def __getitem__(self, index: int) -> Row:
            if index:
                raise BrokenRow(f"row-{index}", "torn")
            return rows[0]

        def fingerprint(self) -> str:
            return "mostly"

    with caplog.at_level(logging.WARNING):
        cache = build_cache(Mostly(), base, panel=PANEL, folder=tmp_path)
    assert (len(cache), len(cache.broken)) == (1, 39)
    assert caplog.text.count("is left out: torn") == 20
    assert "and 19 more rows" in caplog.text


def test_only_broken_rows_are_an_error(base: Base, tmp_path: Path):
    folder = write_folder(tmp_path / "pairs", 3)
    (folder / "pairs.jsonl").write_text("{}\n{}\n")
    rows = open_rows(SimpleNamespace(format="folder", path=folder))
    with pytest.raises(ValueError, match=r"2 of 2 rows are broken.*pairs\.jsonl:1: source, target"):
        build_cache(rows, base, panel=PANEL, folder=tmp_path)


def test_a_prompt_that_is_too_long_is_a_broken_row(base: Base, tmp_path: Path):
    folder = write_folder(tmp_path / "pairs", 2)
    lines = [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]
    lines[0]["instruction"] = "a" * 600
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    cache = build_cache(open_rows(SimpleNamespace(format="folder", path=folder)), base, panel=PANEL, folder=tmp_path)
    assert len(cache) == 1
    assert "at most 512" in cache.broken[0][1]


def test_a_complete_cache_reads_neither_rows_nor_encoders(rows: Rows, base_folder: Path, tmp_path: Path):
    first = build_cache(rows, load_base(str(base_folder), torch.float32), panel=PANEL, folder=tmp_path / "cache")

    class Sealed:
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, index: int) -> Row:
            raise AssertionError("read again")

        def fingerprint(self) -> str:
            return rows.fingerprint()

    fresh = load_base(str(base_folder), torch.float32)
    again = build_cache(Sealed(), fresh, panel=PANEL, folder=tmp_path / "cache")
    assert equal(everything(first), everything(again))
    assert not {"_autoencoder", "_texts", "_tokens"} & set(vars(fresh))


@pytest.mark.parametrize(
    "other", [{"panel": (16, 16)}, {"prompt": "direct"}, {"fit": "crop"}, {"dtype": torch.bfloat16}]
)
def test_another_panel_prompt_fit_or_type_is_another_cache(rows: Rows, base: Base, tmp_path: Path, other: dict):
    build_cache(rows, base, panel=PANEL, folder=tmp_path / "cache")
    cache = build_cache(rows, base, folder=tmp_path / "cache", **{"panel": PANEL, **other})
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert cache[0].target.dtype == torch.float32
    assert cache[0].states.dtype == other.get("dtype", torch.float32)


def test_a_bfloat16_base_is_stored_as_it_computes(rows: Rows, base_folder: Path, tmp_path: Path):
    base = load_base(str(base_folder), torch.bfloat16)
    cache = build_cache(rows, base, panel=PANEL, folder=tmp_path / "cache")
    assert cache[0].states.dtype == torch.bfloat16
    both = torch.cat([pixels(rows[0].source), pixels(rows[0].target)], 3)
    assert (cache[0].target - base.encode_images(both)[0].float()).abs().max() < 0.02


def test_crop_cuts_around_the_middle(base: Base, tmp_path: Path):
    wide = np.zeros((16, 96, 3), np.uint8)
    wide[:, 32:64] = np.array(picture(0, (32, 16)))

    class Wide:
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> Row:
            return Row("k", Image.fromarray(wide), Image.fromarray(wide), "x")

        def fingerprint(self) -> str:
            return "wide"

    cut, stretched = (
        build_cache(Wide(), base, panel=PANEL, folder=tmp_path, fit=fit)[0] for fit in ("crop", "stretch")
    )
    middle = pixels(picture(0, (32, 16)))
    expected = base.encode_images(torch.cat([middle, middle], 3))[0]
    assert_rounded(cut.target, expected)
    assert not torch.allclose(stretched.target, expected, atol=1e-2)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"panel": (20, 16)}, "multiples of 16"), ({"prompt": "poem"}, "ic, direct"), ({"fit": "pad"}, "stretch, crop")],
)
def test_impossible_settings_name_the_possible(rows: Rows, base: Base, tmp_path: Path, wrong: dict, words: str):
    with pytest.raises(ValueError, match=words):
        build_cache(rows, base, folder=tmp_path / "cache", **{"panel": PANEL, **wrong})


BUILD = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
import torch
from icedit_core.training import cache_build
from icedit_core.training.base import load_base
from icedit_core.training.cache import build_cache
from icedit_core.training.data import open_rows
cache_build.ROWS_A_FILE, cache_build.ROWS_A_BATCH = 4, 3
cache_build.PROMPTS_A_FILE, cache_build.PROMPTS_A_BATCH = 3, 2
base, pairs, folder = sys.argv[1:]
print("ready", flush=True)
rows = open_rows(SimpleNamespace(format="folder", path=pairs))

def step(what, done, total):
    print(what, done, total, flush=True)
    if (what, done) == ("prompts", 3):  # all but the last file
        time.sleep(600)

build_cache(rows, load_base(base, torch.float32), panel=(32, 16), folder=Path(folder), progress=step)
"""


@pytest.mark.parametrize("after", [pytest.param(4, marks=pytest.mark.slow), 10])
def test_a_killed_build_goes_on_and_gives_the_same(base_folder: Path, base: Base, tmp_path: Path, after: int):
    """SIGKILL somewhere behind the file of that number: among the rows, or before the last file of prompts."""
    pairs = write_folder(tmp_path / "pairs", 36, (48, 24))
    rows = open_rows(SimpleNamespace(format="folder", path=pairs))
    whole = build_cache(rows, base, panel=PANEL, folder=tmp_path / "whole")
    command = [sys.executable, "-c", BUILD, str(base_folder), str(pairs), str(tmp_path / "killed")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(1 + after):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    done = {file: file.stat().st_mtime_ns for file in (tmp_path / "killed").rglob("*.safetensors")}
    assert len(done) >= after
    assert not list((tmp_path / "killed").rglob("index.json"))
    again = build_cache(rows, base, panel=PANEL, folder=tmp_path / "killed")
    assert equal(everything(whole), everything(again))
    assert all(file.stat().st_mtime_ns == then for file, then in done.items())


def test_what_a_killed_build_left_half_written_is_swept_later(rows: Rows, base: Base, tmp_path: Path, monkeypatch):
    place = tmp_path / cache_build.identity_of(rows, base, PANEL, "ic", "stretch", torch.float32)
    place.mkdir()
    (place / "rows-000000000.safetensors.1.tmp").write_bytes(b"half")
    monkeypatch.setattr(cache_build, "ABANDONED", -1.0)
    build_cache(rows, base, panel=PANEL, folder=tmp_path)
    assert not list(place.glob("*.tmp"))
