"""A stranger's training data: one bad row is one bad row, whatever it names, and it costs neither time nor memory."""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from icedit_core.training.data import BrokenRow
from icedit_core.training.data import tables as tables_module
from icedit_core.training.data.images import decode
from icedit_core.training.data.parquet_pages import Damaged, measure

from .test_training_data import GOOD, opened, reasons
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

MEGABYTE = 1 << 20


@contextmanager
def little_memory() -> Iterator[None]:
    """300 MB beyond what the process has: what is unpacked against the rules ends in MemoryError, which no row is."""
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 300 * MEGABYTE, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def deep(text: str) -> str:
    return json.dumps({**GOOD, "more": 0})[:-2] + text + "}"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name are POSIX's")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({**GOOD, "source": "pipe.png"}, "source cannot be decoded: pipe.png is no regular file"),
        ({**GOOD, "source": "circle.png"}, "source path circle.png is none|source file is missing|Too many levels"),
        ({**GOOD, "source": "sparse.png"}, "sparse.png has 1073741824 bytes, more than 268435456"),
        ("[" * 50_000, "line is nested too deeply"),
        (deep("[" * 50_000 + "]" * 50_000), "line is nested too deeply"),
        (deep("9" * 5000), "line is no JSON in UTF-8"),
        ({**GOOD, "instruction": "a" * 2_000_000}, "line has 20000.. bytes, more than 1048576"),
        ({**GOOD, "source": ["\x1b[2J" * 9000]}, r"source is \['\\x1b\[2J"),
        ({**GOOD, "source": "a" * 5000 + ".png"}, "source "),
    ],
)
def test_a_bad_line_is_one_bad_row(tmp_path, line, words):
    folder = write_folder(tmp_path, 1)
    os.mkfifo(folder / "pipe.png")
    (folder / "circle.png").symlink_to(folder / "circle.png")
    with (folder / "sparse.png").open("wb") as file:
        file.truncate(1 << 30)
    text = line if isinstance(line, str) else json.dumps(line)
    (folder / "pairs.jsonl").write_text(text + "\n" + json.dumps(GOOD), encoding="utf-8")
    with little_memory():
        rows = opened("folder", folder)
        assert rows.fingerprint()
        with pytest.raises(BrokenRow, match=words) as caught:
            rows[0]
    assert len(str(caught.value)) < 1300 and str(caught.value).isprintable()
    assert rows[1].instruction == "turn it red"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name are POSIX's")
def test_a_list_that_is_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pairs.jsonl")
    with pytest.raises(ValueError, match=r"pairs\.jsonl is no regular file, but a JSONL is needed"):
        opened("folder", tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name are POSIX's")
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_shard_that_is_a_pipe_is_one_broken_row(tmp_path, kind):
    write = write_parquet if kind == "parquet" else write_arrow
    os.mkfifo(tmp_path / f"a.{kind}")
    with pytest.raises(ValueError, match="it is no regular file"):
        opened("magicbrush", tmp_path)
    write(tmp_path / f"b.{kind}", [magicbrush_row(1)], MAGICBRUSH)
    rows = opened("magicbrush", tmp_path)
    assert "it is no regular file" in reasons(rows)[f"a.{kind}:0"] and rows[1].instruction == "Make it number 1."
    assert rows.fingerprint()


def png(width: int, height: int) -> bytes:
    """The beginning of a black picture, with its first row alone: how large it is stands before that."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    data = zlib.compress(bytes(1 + 3 * width))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_picture_that_pillow_only_warns_of_is_refused():
    bomb = png(13000, 13000)
    with little_memory(), pytest.raises(BrokenRow, match="source is 13000x13000 px, more than 89478485"):
        decode("k", "source", bomb)


def test_a_format_that_starts_a_program_is_not_tried():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "EPS")
    with pytest.raises(BrokenRow, match="no picture format is recognised"):
        decode("k", "source", buffer.getvalue())


def big_cell(size: int) -> dict:
    return {"bytes": bytes(size), "path": None}


def test_a_cell_that_would_not_fit_is_not_unpacked(tmp_path):
    """800 MB of zeros are a few kilobytes on disk; here 100 MB, of which Parquet would hold three copies."""
    some = [magicbrush_row(0), magicbrush_row(1, source_img=big_cell(100 * MEGABYTE)), magicbrush_row(2)]
    path = write_parquet(tmp_path / "a.parquet", some, MAGICBRUSH, group=1)
    del some
    assert path.stat().st_size < 6 * MEGABYTE
    rows = opened("magicbrush", path)
    before, pool = pa.total_allocated_bytes(), pa.default_memory_pool()
    with little_memory(), pytest.raises(BrokenRow, match=r"bytes of source_img\.bytes in a row, more than 67108864"):
        rows[1]
    assert pa.total_allocated_bytes() - before < MEGABYTE and pool.bytes_allocated() < 50 * MEGABYTE
    assert [rows[i].instruction for i in (0, 2)] == ["Make it number 0.", "Make it number 2."]


def test_a_cell_among_small_ones_a_repeated_one_and_a_list(tmp_path, monkeypatch):
    monkeypatch.setattr(tables_module, "MOST_CELL", MEGABYTE)
    some = [magicbrush_row(i) for i in range(4)]
    some[1] = magicbrush_row(1, target_img=big_cell(3 * MEGABYTE))
    rows = opened("magicbrush", write_parquet(tmp_path / "a.parquet", some, MAGICBRUSH, group=4))
    assert list(reasons(rows)) == ["a.parquet:1"] and "target_img in a row, more than" in reasons(rows)["a.parquet:1"]

    rows = opened("magicbrush", write_arrow(tmp_path / "a.arrow", some, MAGICBRUSH))
    assert list(reasons(rows)) == ["a.arrow:1"]

    monkeypatch.setattr(tables_module, "MOST_GROUP", 2 * MEGABYTE)
    rows = opened("magicbrush", tmp_path / "a.parquet")
    assert len(reasons(rows)) == 4 and "in a row group, more than 2097152: write smaller" in str(reasons(rows))

    same = cell(picture(1, (256, 256)))
    repeated = [magicbrush_row(i, source_img=same, target_img=same) for i in range(40)]
    table = opened("magicbrush", write_parquet(tmp_path / "b.parquet", repeated, MAGICBRUSH, group=40))._table
    table[0]
    shard = table._shard(0)
    monkeypatch.setattr(tables_module, "MOST_GROUP", 3 * len(same["bytes"]))
    shard._ways.clear()
    assert shard._rows_at_once(0) in (1, 2)

    monkeypatch.setattr(tables_module, "MOST_ITEMS", 1000)
    monkeypatch.setattr(tables_module, "MOST_GROUP", MEGABYTE)
    many = [omniedit_row(0), omniedit_row(1, edited_prompt_list=["a"] * 5000)]
    rows = opened("omniedit", write_parquet(tmp_path / "c.parquet", many, OMNIEDIT, group=1))
    assert list(reasons(rows)) == ["c.parquet:1"]
    assert "5000 items of edited_prompt_list" in reasons(rows)["c.parquet:1"]


def test_a_footer_that_lies_is_not_believed(tmp_path):
    """The footer says how large the pages are; so do they, and they are what is unpacked."""
    some = [magicbrush_row(1, source_img=big_cell(100 * MEGABYTE))]
    path = write_parquet(tmp_path / "a.parquet", some, MAGICBRUSH, group=1)
    del some
    column = pq.read_metadata(path).row_group(0).column(2)
    assert column.path_in_schema == "source_img.bytes" and column.total_uncompressed_size > 100 * MEGABYTE
    data = path.read_bytes()
    zigzag = lambda number: varint(number << 1)  # noqa: E731
    true, lie = zigzag(column.total_uncompressed_size), zigzag(1 << 26)
    assert len(true) == len(lie) and data.count(true) == 1
    path.write_bytes(data.replace(true, lie))
    assert pq.read_metadata(path).row_group(0).column(2).total_uncompressed_size == 1 << 26
    with little_memory():
        assert "bytes of source_img.bytes in a row, more than" in str(reasons(opened("magicbrush", path)))


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_pages_are_measured_as_they_were_written(tmp_path, version):
    texts = [f"{i:05}" * (1 + i % 7) for i in range(20_000)]
    pq.write_table(
        pa.table({"a": texts}), tmp_path / "a.parquet", use_dictionary=version == "1.0", compression="zstd",
        data_page_version=version, data_page_size=20_000,
    )  # fmt: skip
    column = pq.read_metadata(tmp_path / "a.parquet").row_group(0).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    with (tmp_path / "a.parquet").open("rb") as file:
        pages = measure(file, start, column.total_compressed_size)
        with pytest.raises(Damaged):
            measure(file, start + 1, column.total_compressed_size)
    assert pages.values == 20_000 and bool(pages.dictionary) == (version == "1.0")
    assert 0.98 * column.total_uncompressed_size < pages.size <= column.total_uncompressed_size  # less the headers


def test_a_packed_arrow_file_is_refused(tmp_path):
    table = pa.Table.from_pylist([magicbrush_row(0, source_img=big_cell(MEGABYTE))], MAGICBRUSH)
    packed = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema, options=packed) as out,
    ):
        out.write_table(table)
    with pytest.raises(ValueError, match="it is packed"):
        opened("magicbrush", tmp_path)


def test_a_picture_of_the_usual_kinds_is_still_read():
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM"):
        assert decode("k", "source", encoded(picture(1), kind)).size == (64, 64)
