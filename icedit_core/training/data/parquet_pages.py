"""How large the pages of a Parquet column unpack, by their own headers: the sums in a file's footer may lie.

Only headers are read. They are Thrift structs in the compact protocol.
Source: apache/parquet-format, src/main/thrift/parquet.thrift, PageHeader.
"""

from __future__ import annotations

from typing import Any, BinaryIO, NamedTuple

_WINDOW, _MOST_HEADER = 1 << 14, 1 << 24  # bytes; statistics make a header long
_MOST_PAGES = 1 << 16
_DICTIONARY = 2  # PageType
_DEEPEST = 8  # structs in a header, of which the format has 3


class Pages(NamedTuple):
    """Of one column in one row group: bytes of all pages and of the dictionary, unpacked; values; bytes of the page
    with the largest values on average, by value."""

    size: int
    dictionary: int
    values: int
    largest_value: int


class Damaged(OSError):
    """A page header that cannot be read."""


def measure(file: BinaryIO, start: int, length: int) -> Pages:
    """The pages of the column chunk in bytes `start : start + length` of a file.

    Raises:
        Damaged: no headers there, or more pages than a file needs.
    """
    size = dictionary = values = largest = 0
    position, end = start, start + length
    for _ in range(_MOST_PAGES):
        if position >= end:
            return Pages(size, dictionary, values, largest)
        kind, unpacked, packed, count, header = _page(file, position)
        size += unpacked
        position += header + packed
        if kind == _DICTIONARY:
            dictionary += unpacked
        else:
            values += count
        largest = max(largest, unpacked // max(1, count))
    raise Damaged(f"a column has more than {_MOST_PAGES} pages")


def _page(file: BinaryIO, position: int) -> tuple[int, int, int, int, int]:
    """(type, unpacked bytes, packed bytes, values, bytes of the header) of the page at a position."""
    for window in (_WINDOW, _MOST_HEADER):
        file.seek(position)
        reader = _Reader(file.read(window))
        try:
            fields = reader.struct(0)
            kind, unpacked, packed = (fields[number] for number in (1, 2, 3))
            inner = next(fields[number] for number in (5, 7, 8) if number in fields)
            count = inner[1]
        except IndexError:
            continue  # the header is longer
        except (KeyError, StopIteration, TypeError, ValueError):
            break
        if all(isinstance(value, int) and value >= 0 for value in (kind, unpacked, packed, count)):
            return kind, unpacked, packed, count, reader.position
        break
    raise Damaged("a page has no readable header")


class _Reader:
    """Thrift's compact protocol: numbers are kept, the rest is passed over."""

    def __init__(self, data: bytes):
        self._data, self.position = data, 0

    def struct(self, depth: int) -> dict[int, Any]:
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._number()
            fields[number] = self._value(head & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._number()
        if kind in (7, 8):
            self._skip(8 if kind == 7 else self._varint())
            return None
        if kind == 12:
            return self.struct(depth + 1)
        raise ValueError("no field of a page header")

    def _byte(self) -> int:
        self.position += 1
        return self._data[self.position - 1]

    def _skip(self, count: int) -> None:
        self.position += count
        if self.position > len(self._data):
            raise IndexError

    def _varint(self) -> int:
        found = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            found |= (byte & 127) << shift
            if byte < 128:
                return found
        raise ValueError("a number of too many digits")

    def _number(self) -> int:
        found = self._varint()
        return found >> 1 ^ -(found & 1)
