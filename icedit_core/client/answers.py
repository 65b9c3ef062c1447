"""How much of a server's answer is read, and how: a few hundred kilobytes must not unpack into all of the memory."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any

from .. import foreign
from .errors import UnexpectedAnswer

MB = 2**20
JSON_LIMIT = 16 * MB
MESSAGE_LIMIT = 16 * MB
PICTURE_LIMIT = 256 * MB
MOST_VALUES = 200_000  # in one JSON answer; each takes up to 230 bytes of memory
MOST_SCHEMA_VALUES = 1_000_000  # in the schemas of all node types, of which large installations have thousands
PIECE = 2**16


def parse_object(body: bytes | str, values: int = MOST_VALUES) -> dict[str, Any] | None:
    """The JSON object in an answer; None for anything else, and for one of more than so many values."""
    try:
        whole = body.decode("utf-8") if isinstance(body, bytes) else body
        answer = json.loads(whole) if values_in(whole) <= values else None
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def values_in(whole: str) -> int:
    """At least as many as the values of a JSON text."""
    return sum(map(whole.count, ",[{"))


class Unpacker:
    """The content of a body that came compressed although nobody asked for it, in small pieces.

    Raises:
        UnexpectedAnswer: an encoding other than gzip or deflate, or a damaged or unfinished body.
    """

    def __init__(self, encoding: str) -> None:
        if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise UnexpectedAnswer(
                f"ComfyClient: the answer is encoded as {foreign.line(encoding, 40)}, but plain or gzip is needed."
            )
        self._inflate = zlib.decompressobj(32 + zlib.MAX_WBITS) if encoding not in ("", "identity") else None

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """What the next bytes unpack to, at most PIECE bytes at a time."""
        if self._inflate is None:
            yield packed
            return
        try:
            while packed and not self._inflate.eof:
                yield self._inflate.decompress(packed, PIECE)
                packed = self._inflate.unconsumed_tail
        except zlib.error as problem:
            raise UnexpectedAnswer(f"ComfyClient: the answer's compression is damaged ({problem}).") from None

    def finish(self) -> Iterator[bytes]:
        """The rest, once all was fed."""
        if self._inflate is not None:
            yield self._inflate.flush()  # less than PIECE: feed has left no input
            if not self._inflate.eof:
                raise UnexpectedAnswer("ComfyClient: the compressed answer has no end; the connection may have broken.")
