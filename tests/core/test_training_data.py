"""The readers of training pairs, on small samples of exactly the public layouts, broken rows included."""

from __future__ import annotations

import importlib
import io
import json
import random
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from icedit_core.training.data import BrokenRow, JoinedRows, Row, Rows, open_rows
from icedit_core.training.data.images import decode

from .training_samples import (
    MAGICBRUSH,
    OMNIEDIT,
    cell,
    encoded,
    magicbrush_row,
    omniedit_row,
    picture,
    write_arrow,
    write_folder,
    write_parquet,
)

GOOD = {"source": "images/0_a.png", "target": "images/0_b.png", "instruction": "turn it red"}


def opened(kind: str, path: Path) -> Rows:
    return open_rows(SimpleNamespace(format=kind, path=path))


def reasons(rows: Rows) -> dict[str, str]:
    """What is broken, by key."""
    found = {}
    for i in range(len(rows)):
        try:
            rows[i]
        except BrokenRow as error:
            found[error.key] = error.reason
    return found


def same(image: Image.Image, other: Image.Image) -> bool:
    return np.array_equal(np.array(image), np.array(other))


# --- MagicBrush


def test_magicbrush_rows_lose_their_lowest_32nd(tmp_path: Path):
    write_parquet(tmp_path / "data" / "train-0.parquet", [magicbrush_row(i) for i in range(10)], MAGICBRUSH)
    rows = opened("magicbrush", tmp_path)
    assert len(rows) == 10
    row = rows[5]
    assert (row.key, row.instruction, row.task) == ("102-2", "Make it number 5.", None)
    assert same(row.source, picture(5).crop((0, 0, 64, 62)))
    assert same(row.target, picture(1005).crop((0, 0, 64, 62)))


def test_every_kind_of_broken_magicbrush_row_is_told(tmp_path: Path):
    cut = encoded(picture(2, (256, 256)), "JPEG")[:-900]
    broken = [
        magicbrush_row(1, source_img={"bytes": cut, "path": None}),
        magicbrush_row(2, target_img=None),
        magicbrush_row(3, target_img={"bytes": None, "path": "elsewhere.png"}),
        magicbrush_row(4, instruction="  "),
        magicbrush_row(5, instruction=None),
        magicbrush_row(6, target_img=cell(picture(6, (96, 64)))),
        magicbrush_row(7, source_img={"bytes": b"<html>not found</html>", "path": None}),
        magicbrush_row(8, source_img={"bytes": b"", "path": None}),
    ]
    write_parquet(tmp_path / "train-0.parquet", [magicbrush_row(0), *broken, magicbrush_row(9)], MAGICBRUSH)
    rows = opened("magicbrush", tmp_path)
    told = list(reasons(rows).values())
    expected = (
        "source cannot be decoded", "target is null", "only a path", "instruction is empty",
        "instruction is None", "other proportions", "no picture format", "source is empty",
    )  # fmt: skip
    assert len(told) == len(expected)
    for reason, words in zip(told, expected, strict=True):
        assert words in reason
    assert rows[9].instruction == "Make it number 9."


def test_both_splits_are_read_and_a_pattern_leaves_one_out(tmp_path: Path):
    write_parquet(tmp_path / "data" / "train-0.parquet", [magicbrush_row(i) for i in range(5)], MAGICBRUSH)
    write_parquet(tmp_path / "data" / "dev-0.parquet", [magicbrush_row(i) for i in range(6, 9)], MAGICBRUSH)
    assert len(opened("magicbrush", tmp_path)) == 8
    assert len(opened("magicbrush", tmp_path / "data" / "train-*.parquet")) == 5


# --- OmniEdit


def test_omniedit_rows(tmp_path: Path):
    write_parquet(tmp_path / "train-0.parquet", [omniedit_row(i) for i in range(6)], OMNIEDIT)
    row = opened("omniedit", tmp_path)[3]
    assert (row.key, row.task, row.source.size) == ("task_obj_swap_3", "swap", (96, 64))
    assert row.instruction in ("Swap object 3", "Exchange the object for number 3")
    assert np.abs(np.array(row.target, float) - np.array(picture(1003, (96, 64)), float)).mean() < 6  # JPEG


def test_an_omniedit_row_keeps_its_wording_and_wordings_are_spread(tmp_path: Path):
    write_parquet(tmp_path / "train-0.parquet", [omniedit_row(i) for i in range(60)], OMNIEDIT)
    rows, again = opened("omniedit", tmp_path), opened("omniedit", tmp_path)
    words = [rows[i].instruction for i in range(60)]
    assert words == [again[i].instruction for i in range(60)]
    assert 15 < sum(word.startswith("Swap") for word in words) < 45


def test_empty_wordings_are_passed_over_and_a_row_without_any_is_broken(tmp_path: Path):
    lists = [["", "Paint it"], [None, "Paint it"], [], None, [" ", ""]]
    write_parquet(
        tmp_path / "t.parquet", [omniedit_row(i, edited_prompt_list=words) for i, words in enumerate(lists)], OMNIEDIT
    )
    rows = opened("omniedit", tmp_path)
    assert [rows[0].instruction, rows[1].instruction] == ["Paint it", "Paint it"]
    assert [key[-1] for key in reasons(rows)] == ["2", "3", "4"]


# --- shards


def test_a_shard_without_a_column_and_one_that_is_cut_off_are_told_and_the_others_read(tmp_path: Path):
    write_parquet(tmp_path / "a.parquet", [omniedit_row(i) for i in range(3)], OMNIEDIT)
    fields = [field for field in OMNIEDIT if field.name != "edited_img"]
    write_parquet(tmp_path / "b.parquet", [omniedit_row(i) for i in range(2)], pa.schema(fields))
    whole = write_parquet(tmp_path / "c.parquet", [omniedit_row(i) for i in range(9)], OMNIEDIT).read_bytes()
    (tmp_path / "c.parquet").write_bytes(whole[:-100])
    told = reasons(opened("omniedit", tmp_path))
    assert list(told) == ["b.parquet:0", "b.parquet:1", "c.parquet:0"]
    assert "no column edited_img" in told["b.parquet:0"]
    assert "not counted" in told["c.parquet:0"]


def test_damage_in_a_picture_breaks_its_row(tmp_path: Path):
    path = write_parquet(tmp_path / "a.parquet", [magicbrush_row(i) for i in range(12)], MAGICBRUSH)
    data = path.read_bytes()
    there = encoded(picture(1005))[100:200]
    assert data.count(there) == 1
    path.write_bytes(data.replace(there, bytes(100)))
    assert list(reasons(opened("magicbrush", path))) == ["102-2"]


def test_damage_in_the_frame_of_a_row_group_breaks_its_rows(tmp_path: Path):
    path = write_parquet(tmp_path / "a.parquet", [magicbrush_row(i) for i in range(12)], MAGICBRUSH, group=4)
    group = pq.read_metadata(path).row_group(1)
    column = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == "target_img.bytes")
    data = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    rows = opened("magicbrush", path)
    told = reasons(rows)
    assert list(told) == [f"a.parquet:{i}" for i in range(4, 8)]
    assert all("damaged here" in reason for reason in told.values())
    assert rows[0].key == "100-1"


def test_wrong_columns_everywhere_name_those_found(tmp_path: Path):
    write_parquet(tmp_path / "a.parquet", [omniedit_row(0)], OMNIEDIT)
    with pytest.raises(ValueError, match=r"no column source_img.*it has omni_edit_id"):
        opened("magicbrush", tmp_path)


@pytest.mark.parametrize("name", ["nothing", "nothing.parquet", "*.parquet"])
def test_no_shards(tmp_path: Path, name: str):
    with pytest.raises(ValueError, match="no Parquet or Arrow file"):
        opened("omniedit", tmp_path / name)


def test_any_order_gives_the_rows_of_the_one_after_the_other(tmp_path: Path):
    for shard in range(3):
        some = [magicbrush_row(20 * shard + i) for i in range(20)]
        write_parquet(tmp_path / f"train-{shard}.parquet", some, MAGICBRUSH, group=[4, 7, 50][shard])
    rows = opened("magicbrush", tmp_path)
    order = list(range(60)) + random.Random(0).sample(range(60), 60)
    assert [rows[i].instruction for i in order] == [f"Make it number {i}." for i in order]
    with pytest.raises(IndexError):
        rows[60]


def test_a_folder_that_datasets_saved_reads_as_parquet_does(tmp_path: Path):
    some = [magicbrush_row(i) for i in range(11)]
    write_parquet(tmp_path / "p" / "train-0.parquet", some, MAGICBRUSH)
    write_arrow(tmp_path / "a" / "train" / "data-00000-of-00002.arrow", some[:6], MAGICBRUSH)
    write_arrow(tmp_path / "a" / "train" / "data-00001-of-00002.arrow", some[6:], MAGICBRUSH)
    (tmp_path / "a" / "train" / "cache-1234.arrow").write_bytes(b"of no concern")
    parquet, arrow = opened("magicbrush", tmp_path / "p"), opened("magicbrush", tmp_path / "a")
    assert len(parquet) == len(arrow) == 11
    for i in range(11):
        assert parquet[i].key == arrow[i].key
        assert same(parquet[i].source, arrow[i].source)


def test_a_row_group_larger_than_memory_allows_is_read_in_parts(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    big = cell(Image.fromarray(noise))
    some = [magicbrush_row(i, source_img=big, target_img=big) for i in range(200)]
    path = write_parquet(tmp_path / "a.parquet", some, MAGICBRUSH, group=200)
    rows = opened("magicbrush", path)
    del some
    before, peak = pa.total_allocated_bytes(), 0
    for i in range(200):
        rows._table[i]
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert 200 * 2 * len(big["bytes"]) > 4 * peak


# --- folder


def test_folder_rows(tmp_path: Path):
    rows = opened("folder", write_folder(tmp_path, 4))
    assert len(rows) == 4
    assert [rows[i].task for i in range(4)] == [None, "recolour", None, "recolour"]
    assert (rows[2].key, rows[2].instruction) == ("pairs.jsonl:3", "turn the circle 2")
    assert same(rows[2].target, picture(1002))


def test_chinese_words_blank_lines_a_byte_order_mark_and_other_fields(tmp_path: Path):
    write_folder(tmp_path, 1)
    chinese = "\u628a\u5706\u53d8\u6210\u7ea2\u8272"
    line = {**GOOD, "instruction": chinese, "score": 5}
    text = "\ufeff\n" + json.dumps(line, ensure_ascii=False) + "\r\n\n" + json.dumps(line)
    (tmp_path / "pairs.jsonl").write_text(text, encoding="utf-8", newline="")
    rows = opened("folder", tmp_path / "pairs.jsonl")
    assert [rows[i].key for i in range(2)] == ["pairs.jsonl:2", "pairs.jsonl:4"]
    assert rows[0].instruction == rows[1].instruction == chinese


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({**GOOD, "source": "images/none.png"}, "file is missing"),
        ({**GOOD, "source": "../outside.png"}, "leads out of the folder"),
        ({**GOOD, "target": "/etc/hostname"}, "leads out of the folder"),
        ({**GOOD, "target": "link/outside.png"}, "leads out of the folder"),
        ({**GOOD, "target": "images"}, "cannot be decoded"),
        ({**GOOD, "target": ""}, "a path is needed"),
        ({**GOOD, "target": 5}, "a path is needed"),
        ({**GOOD, "target": "a\0b"}, "is none"),
        ({**GOOD, "instruction": "."}, "instruction is empty"),
        ({**GOOD, "instruction": ["red"]}, "words are needed"),
        ({**GOOD, "instruction": "\ud800 red"}, "no valid Unicode"),
        ({**GOOD, "task": 3}, "task is 3"),
        ({"source": "a.png"}, "target, instruction missing"),
        ([1, 2], "no JSON object"),
        ('{"source": ', "no JSON in UTF-8"),
        (b'{"source": "\xff"}', "no JSON in UTF-8"),
    ],
)
def test_a_broken_line_is_told_and_the_next_one_read(tmp_path: Path, line, words: str):
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    picture(0).save(outside / "outside.png")
    folder = write_folder(tmp_path / "data", 1)
    picture(0).save(tmp_path / "outside.png")
    (folder / "link").symlink_to(outside)
    data = line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
    (folder / "pairs.jsonl").write_bytes(data + b"\n" + json.dumps(GOOD).encode())
    rows = opened("folder", folder)
    (told,) = reasons(rows).values()
    assert words in told
    assert rows[1].instruction == "turn it red"
    assert rows.fingerprint()


def test_no_jsonl_two_and_an_empty_one(tmp_path: Path):
    with pytest.raises(ValueError, match="none there"):
        opened("folder", tmp_path)
    (tmp_path / "a.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="is empty"):
        opened("folder", tmp_path)
    (tmp_path / "b.jsonl").write_text("{}")
    with pytest.raises(ValueError, match=r"a\.jsonl, b\.jsonl"):
        opened("folder", tmp_path)


def test_a_fingerprint_is_of_the_content_and_not_of_the_place(tmp_path: Path):
    first, copy = (opened("folder", write_folder(tmp_path / name, 3)) for name in ("a", "b"))
    assert first.fingerprint() == copy.fingerprint()
    picture(77).save(tmp_path / "b" / "images" / "1_b.png")
    assert first.fingerprint() != copy.fingerprint()
    write_parquet(tmp_path / "p" / "x.parquet", [omniedit_row(0)], OMNIEDIT)
    write_parquet(tmp_path / "q" / "x.parquet", [omniedit_row(1)], OMNIEDIT)
    assert opened("omniedit", tmp_path / "p").fingerprint() != opened("omniedit", tmp_path / "q").fingerprint()


def test_joined_rows_come_one_after_the_other(tmp_path: Path):
    parts = [opened("folder", write_folder(tmp_path / str(n), n)) for n in (1, 3)]
    joined = JoinedRows(parts)
    assert [joined[i].key for i in range(len(joined))] == ["pairs.jsonl:1"] * 2 + ["pairs.jsonl:2", "pairs.jsonl:3"]
    assert joined.fingerprint() != JoinedRows(parts[::-1]).fingerprint()
    with pytest.raises(IndexError):
        joined[4]


def test_an_unknown_format_names_the_known(tmp_path: Path):
    with pytest.raises(ValueError, match="'csv'.*folder, magicbrush, omniedit"):
        opened("csv", tmp_path)


# --- pictures


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGB", "PNG"), ("RGB", "WEBP"), ("L", "PNG"), ("L", "JPEG"), ("1", "PNG"), ("P", "PNG"), ("P", "GIF"),
     ("RGBA", "PNG"), ("LA", "PNG"), ("CMYK", "JPEG"), ("CMYK", "TIFF")],
)  # fmt: skip
def test_modes_are_brought_to_rgb(mode: str, kind: str):
    image = picture(1, mode=mode)
    found = decode("k", "source", encoded(image, kind))
    assert found.mode == "RGB"
    lossy = kind in ("JPEG", "WEBP")
    off = np.abs(np.array(found, float) - np.array(image.convert("RGB"), float)).mean()
    assert off < 8 if lossy else off == 0


def test_transparent_and_deep_pictures_are_told():
    clear = picture(1, mode="RGBA")
    clear.putpixel((3, 3), (255, 0, 0, 254))
    with pytest.raises(BrokenRow, match="transparent"):
        decode("k", "source", encoded(clear))
    palette = picture(1, mode="P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    with pytest.raises(BrokenRow, match="transparent"):
        decode("k", "source", encoded(palette))
    deep = Image.fromarray(np.full((8, 8), 40000, np.uint16))
    with pytest.raises(BrokenRow, match="8 bits"):
        decode("k", "source", encoded(deep))


def test_a_picture_is_turned_as_its_exif_says():
    image = picture(2, (40, 20))
    exif = Image.Exif()
    exif[274] = 6
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    assert decode("k", "source", buffer.getvalue()).size == (20, 40)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_any_damage_is_a_broken_row_or_a_picture(kind: str):
    good = encoded(picture(3), kind)
    rng = random.Random(kind)
    for attempt in range(150):
        data = bytearray(good)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            found = decode("k", "source", bytes(data[: rng.randrange(len(data))] if attempt % 3 == 0 else data))
        except BrokenRow:
            continue
        assert found.mode == "RGB"


# --- export


def test_exported_scenes_are_a_folder_of_pairs(tmp_path: Path):
    root = str(Path(__file__).resolve().parents[2] / "demo")
    sys.path.insert(0, root)
    try:
        export, scenes = importlib.import_module("export_pairs"), importlib.import_module("scenes")
        export.export(tmp_path / "pairs", count=13, size=64, seed=5)
        rows = opened("folder", tmp_path / "pairs")
        assert len(rows) == 13
        first: Row = rows[0]
        example = scenes.make(5, 64, first.task)
        assert {rows[i].task for i in range(13)} == set(scenes.TASKS)
        assert same(first.source, Image.fromarray((example.source * 255).round().astype("uint8")))
        assert first.instruction == example.instruction
        assert not reasons(rows)
    finally:
        sys.path.remove(root)
