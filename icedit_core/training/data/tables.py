"""Rows of local Parquet shards and of folders that `datasets` saved (Arrow), read a few at a time.

pyarrow alone is enough for both. `datasets` would first copy every shard into a cache of its own, pandas and polars
read whole row groups of pictures into memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ...foreign import line
from . import parquet_pages, shards
from .rows import BrokenRow, hash_of

BATCH = 16  # rows in memory at once
MOST_CELL = 64 << 20  # bytes of a picture or text
MOST_GROUP = 1 << 30  # unpacked bytes of a column in a row group, which Parquet may have to unpack at once
MOST_ITEMS = 1 << 20  # of all lists of a column in a row group


class TooLarge(Exception):
    """What would not fit into memory; nothing of it was read."""


class _Shard(Protocol):
    rows: int
    columns: list[str]

    def read(self, row: int) -> dict[str, Any]: ...

    def close(self) -> None: ...


class Table:
    """The rows of all shards, in the order of their paths; reading in order is fast, jumping is correct.

    Args:
        path: a file, a folder (every Parquet file below it, else every Arrow file) or a pattern.
        needed, wanted: columns to read: without a needed one, all rows of its shard are broken.
    Raises:
        ValueError: no shards, or none that is readable and has the needed columns.
    """

    def __init__(self, path: Path, needed: tuple[str, ...], wanted: tuple[str, ...] = ()):
        self._files = shards.find(path)
        self._names = shards.relative(self._files)
        self._columns = (needed, wanted)
        self._problems: dict[int, str] = {}
        counts = [self._count(i) for i in range(len(self._files))]
        if len(self._problems) == len(self._files):
            raise ValueError(
                f"training data: {line(self._names[0])} {self._problems[0]}, and no other file at {line(path)} is "
                f"better, but the columns {', '.join(needed)} are needed. Check the path and the format."
            )
        self._ends = list(accumulate(counts))
        self._open: tuple[int, _Shard] | None = None

    def _count(self, index: int) -> int:
        """The shard's rows; one for a shard that cannot be read, so that it is reported as one broken row."""
        try:
            shard = _open(self._files[index], ())
        except _errors() as error:
            self._problems[index] = f"is no readable shard, its rows are not counted: {line(error)}"
            return 1
        shard.close()
        if missing := [name for name in self._columns[0] if name not in shard.columns]:
            self._problems[index] = f"has no column {', '.join(missing)}; it has {line(', '.join(shard.columns))}"
        return shard.rows

    def __len__(self) -> int:
        return self._ends[-1]

    def key(self, index: int) -> str:
        """`shard:row`, counted from 0."""
        shard, row = self._place(index)
        return f"{self._names[shard]}:{row}"

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The needed and wanted columns of a row; wanted ones that the shard lacks are absent.

        Raises:
            BrokenRow: the shard is unusable or damaged here.
        """
        shard, row = self._place(index)
        if shard in self._problems:
            raise BrokenRow(self.key(index), f"{self._names[shard]} {self._problems[shard]}")
        try:
            return self._shard(shard).read(row)
        except TooLarge as error:
            raise BrokenRow(self.key(index), f"{self._names[shard]} has {error}") from None
        except _errors() as error:
            raise BrokenRow(self.key(index), f"{self._names[shard]} is damaged here: {line(error)}") from None

    def _place(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        shard = bisect_right(self._ends, index)
        return shard, index - (self._ends[shard - 1] if shard else 0)

    def _shard(self, index: int) -> _Shard:
        if self._open is None or self._open[0] != index:
            if self._open:
                self._open[1].close()
            self._open = (index, _open(self._files[index], sum(self._columns, ())))
        return self._open[1]

    def fingerprint(self) -> str:
        """Identity of the shards, by name, size and both ends."""
        return hash_of(*self._names, *map(shards.identity, self._files))


class _Parquet:
    """A Parquet file, read through a cursor that moves forward inside one row group."""

    def __init__(self, file: Path, wanted: tuple[str, ...]):
        import pyarrow.parquet as pq

        self._source = shards.regular(file)
        self._file = pq.ParquetFile(self._source)
        meta = self._file.metadata
        self.rows, self.columns = meta.num_rows, list(self._file.schema_arrow.names)
        self._wanted = [name for name in wanted if name in self.columns]
        self._group_ends = list(accumulate(meta.row_group(g).num_rows for g in range(meta.num_row_groups)))
        self._group = -1  # where the cursor is
        self._batches: Iterator[Any] = iter(())
        self._ways: dict[int, int | Exception] = {}  # by row group: rows to read at once, or why none
        self._start = 0
        self._batch: Any = None
        self._damage: dict[int, tuple[int, Exception]] = {}  # by row group: from this row on

    def read(self, row: int) -> dict[str, Any]:
        group = bisect_right(self._group_ends, row)
        if group in self._damage and row >= self._damage[group][0]:
            raise self._damage[group][1]
        if group != self._group or self._batch is None or row < self._start:
            rows = self._rows_at_once(group)
            self._group, self._batches = group, self._file.iter_batches(rows, [group], self._wanted)
            self._start, self._batch = self._group_ends[group - 1] if group else 0, None
        while self._batch is None or row >= self._start + self._batch.num_rows:
            self._start += self._batch.num_rows if self._batch else 0
            self._batch = None
            try:
                self._batch = next(self._batches)
            except _errors() as error:
                self._damage[group] = (self._start, error)
                raise
        return _values(self._batch.slice(row - self._start, 1))

    def _rows_at_once(self, group: int) -> int:
        """Rows to read at once, so that what they repeat from a dictionary fits into memory.

        Raises:
            TooLarge, Damaged: by the headers of the pages; nothing was unpacked.
        """
        if group not in self._ways:
            try:
                self._ways[group] = _rows_that_fit(self._source, self._file, group, self._wanted)
            except (TooLarge, parquet_pages.Damaged) as error:
                self._ways[group] = error
        way = self._ways[group]
        if isinstance(way, Exception):
            raise way
        return way

    def close(self) -> None:
        self._file.close()
        self._source.close()


def _rows_that_fit(source: BinaryIO, file: Any, group: int, wanted: list[str]) -> int:
    meta, most = file.metadata.row_group(group), BATCH
    for index in range(meta.num_columns):
        column = meta.column(index)
        if column.path_in_schema.split(".")[0] not in wanted:
            continue
        dictionary = column.dictionary_page_offset
        start = column.data_page_offset if dictionary is None else min(dictionary, column.data_page_offset)
        pages = parquet_pages.measure(source, start, column.total_compressed_size)
        name = line(column.path_in_schema)
        if pages.size > MOST_GROUP:
            raise TooLarge(f"{pages.size} bytes of {name} in a row group, more than {MOST_GROUP}: write smaller ones")
        if pages.largest_value > MOST_CELL:
            raise TooLarge(f"{pages.largest_value} bytes of {name} in a row, more than {MOST_CELL}")
        if file.schema.column(index).max_repetition_level and pages.values > MOST_ITEMS:
            raise TooLarge(f"{pages.values} items of {name} in a row group, more than {MOST_ITEMS}")
        most = min(most, max(1, MOST_GROUP // max(1, pages.dictionary)))
    return most


def _values(row: Any) -> dict[str, Any]:
    """The values of a table of one row.

    Raises:
        TooLarge: a cell is.
    """
    for name, column in zip(row.schema.names, row.columns, strict=True):
        if column.nbytes > MOST_CELL:
            raise TooLarge(f"{column.nbytes} bytes of {line(name)} in a row, more than {MOST_CELL}")
    values: dict[str, Any] = row.to_pylist()[0]
    return values


class _Arrow:
    """An Arrow file as `datasets` saves it (a stream), or in the random-access format; mapped, not read."""

    def __init__(self, file: Path, wanted: tuple[str, ...]):
        import pyarrow as pa

        shards.regular(file).close()
        self._map = pa.memory_map(str(file))
        opener = pa.ipc.open_file if self._map.read(6) == b"ARROW1" else pa.ipc.open_stream
        self._map.seek(0)
        self._table = pa.Table.from_batches(*_unpacked(opener(self._map), file.stat().st_size))
        self.rows, self.columns = self._table.num_rows, self._table.column_names
        self._table = self._table.select([name for name in wanted if name in self.columns])

    def read(self, row: int) -> dict[str, Any]:
        one = self._table.slice(row, 1)
        one.validate(full=True)
        return _values(one)

    def close(self) -> None:
        self._table = None
        self._map.close()


def _unpacked(reader: Any, size: int) -> tuple[list[Any], Any]:
    """The batches of an Arrow file and their schema; `datasets` packs none, so together they are no larger than it.

    Raises:
        OSError: they are.
    """
    import pyarrow as pa

    streamed = isinstance(reader, pa.ipc.RecordBatchStreamReader)
    batches = iter(reader) if streamed else map(reader.get_batch, range(reader.num_record_batches))
    found: list[Any] = []
    for batch in batches:
        batch.validate()  # offsets that lead out of the file end the process, even where only sizes are asked for
        size -= batch.nbytes
        if size < 0:
            raise OSError("it is packed, and unpacks to more than its own size: save it unpacked")
        found.append(batch)
    return found, reader.schema


def _open(file: Path, wanted: tuple[str, ...]) -> _Shard:
    return _Arrow(file, wanted) if file.suffix == ".arrow" else _Parquet(file, wanted)


def _errors() -> tuple[type[Exception], ...]:
    import pyarrow as pa

    return (pa.ArrowException, OSError, UnicodeDecodeError, StopIteration)


def picture_bytes(key: str, name: str, value: object) -> bytes:
    """The encoded picture of an image column's value, {bytes, path}.

    Raises:
        BrokenRow: null, of another type, or a path to a file that is not part of the shard.
    """
    if isinstance(value, dict) and value.get("bytes") is None and value.get("path"):
        raise BrokenRow(key, f"the {name} is only a path, {line(value['path'])}, but its bytes are needed in the shard")
    data = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(data, bytes) and len(data) > MOST_CELL:
        raise BrokenRow(key, f"the {name} has {len(data)} bytes, more than {MOST_CELL}")
    if not isinstance(data, bytes) or not data:
        found = "null" if data is None else "empty" if data == b"" else f"of type {type(data).__name__}"
        raise BrokenRow(key, f"the {name} is {found}, but an encoded picture is needed")
    return data
