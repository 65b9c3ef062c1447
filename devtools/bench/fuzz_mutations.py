"""Changes to adapter files: to their parts, to the header's text, to single bytes."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable
from dataclasses import replace

from .fuzz_drafts import DTYPES, LAYERS, Draft, Entry, framed, parsed, split

NUMBERS = (0, 1, 2, 3, 7, 255, 2**16, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -1)
PIECES = (
    ".lora_A", ".lora_B", ".lora_down", ".lora_up", ".lora_route", ".alpha", ".weight", ".default", ".bias",
    ".expert_0", ".expert_1", ".expert_01", ".expert_-1", ".expert_" + "9" * 5000, ".expert_\u0661", ".dora_scale",
    ".lora_magnitude_vector", "transformer.", "base_model.model.", "diffusion_model.", "lora_unet_", "text_encoder.",
    ".", "..", "\n", "\0", "\u202e", "\U0001f600", "x" * 3000, "__metadata__", " ",
)  # fmt: skip
VALUES = {
    "F64": ("d", (float("nan"), float("inf"), 1e308, 5e-324)),
    "F32": ("f", (float("nan"), float("-inf"), 3.4e38, 1e-45)),
    "F16": ("e", (float("nan"), float("inf"), 65504.0, 6e-8)),
    "I64": ("q", (0, -1, 2**62)),
}
TOP_K = ("0", "-1", "2", "99", "1e3", "", " 1", "9" * 5000, "\u0661", "1\n", "\u00b2", "None")
TEXTS = (b"NaN", b"1e999", b"null", b"true", b'""', b"[]", b"{}", b"[[[[[[[[", b'"\\ud800"', b"1.5", b"\xff", b"\0")


def mutate(data: bytes, pool: list[bytes], draw: random.Random) -> bytes:
    """Up to four changes to a file; the parts can only be changed while the file still has them."""
    for _ in range(draw.choice((0, 1, 1, 1, 1, 2, 2, 3, 4))):
        kind = draw.choices(("parts", "header", "bytes"), (6, 3, 2))[0]
        if kind == "parts":
            data = _parts(data, pool, draw)
        elif kind == "header":
            data = _header(data, draw)
        else:
            data = draw.choice(BYTES)(data, draw)
    return data


def _parts(data: bytes, pool: list[bytes], draw: random.Random) -> bytes:
    try:
        draft = parsed(data)
        if draw.random() < 0.1:
            return _crossed(draft, parsed(draw.choice(pool)), draw).pack()
        if not draft.entries:
            return data
        return draw.choice(PARTS)(draft, draw.randrange(len(draft.entries)), draw).pack()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return data  # earlier changes left no parts, or parts of other types


def _crossed(draft: Draft, other: Draft, draw: random.Random) -> Draft:
    taken = [entry for entry in (*draft.entries, *other.entries) if draw.random() < 0.7]
    return replace(draft, entries=tuple(taken))


def _rename(draft: Draft, index: int, draw: random.Random) -> Draft:
    """Put a piece into the name, take one out, or put one for another."""
    name = draft.entries[index].name
    found = [piece for piece in PIECES if piece in name]
    new = draw.choice(PIECES)
    choice = draw.randrange(3)
    if choice and found:
        name = name.replace(draw.choice(found), new if choice == 1 else "", 1)
    else:
        cut = draw.randrange(len(name) + 1)
        name = name[:cut] + new + name[cut:]
    return draft.having(index, name=name)


def _relabel(draft: Draft, index: int, draw: random.Random) -> Draft:
    """Another layer, or the name of another entry."""
    if draw.random() < 0.5:
        return draft.having(index, name=draw.choice(draft.entries).name)
    tail = re.search(r"\.(lora_|alpha).*", draft.entries[index].name, re.DOTALL)
    return draft.having(index, name=draw.choice(LAYERS) + (tail.group() if tail else ""))


def _drop(draft: Draft, index: int, draw: random.Random) -> Draft:
    return replace(draft, entries=draft.entries[:index] + draft.entries[index + 1 :])


def _double(draft: Draft, index: int, draw: random.Random) -> Draft:
    return replace(draft, entries=(*draft.entries, draft.entries[index]))


def _swap(draft: Draft, index: int, draw: random.Random) -> Draft:
    other = draw.randrange(len(draft.entries))
    first, second = draft.entries[index].name, draft.entries[other].name
    return draft.having(index, name=second).having(other, name=first)


def _reshape(draft: Draft, index: int, draw: random.Random) -> Draft:
    """The same numbers in another shape, or a shape that lies."""
    shape = list(draft.entries[index].shape)
    choice = draw.randrange(5)
    if choice == 0:
        shape.reverse()
    elif choice == 1:
        shape.append(1)
    elif choice == 2:
        return draft.having(index, shape=(0, draw.choice(NUMBERS)), data=b"")
    elif shape:
        shape[draw.randrange(len(shape))] = draw.choice(NUMBERS)
    return draft.having(index, shape=tuple(shape))


def _resize(draft: Draft, index: int, draw: random.Random) -> Draft:
    """Another shape with as many bytes as it takes."""
    shape = tuple(draw.randint(0, 5) for _ in range(draw.choice((0, 1, 2, 2, 2, 3))))
    count = 1
    for side in shape:
        count *= side
    return draft.having(index, shape=shape, dtype="F32", data=struct.pack("<f", 0.5) * count)


def _retype(draft: Draft, index: int, draw: random.Random) -> Draft:
    """Another dtype, the bytes cut or filled to fit it in most cases."""
    entry, dtype = draft.entries[index], draw.choice(DTYPES)
    bits = {"F4": 4, "F6_E2M3": 6, "C64": 64, "BOOL": 8}.get(dtype) or int((re.findall(r"\d+", dtype) or ["8"])[0])
    count = 1
    for side in entry.shape:
        count *= side
    needed = max(0, min(count * bits // 8, 4096))
    data = entry.data if draw.random() < 0.1 else (entry.data * (needed // max(1, len(entry.data)) + 1))[:needed]
    return draft.having(index, dtype=dtype, data=data)


def _revalue(draft: Draft, index: int, draw: random.Random) -> Draft:
    entry = draft.entries[index]
    code, values = VALUES.get(entry.dtype, ("B", (0, 127, 128, 254, 255)))
    value, size = struct.pack(f"<{code}", draw.choice(values)), struct.calcsize(code)
    at = draw.randrange(max(1, len(entry.data) // size)) * size
    return draft.having(index, data=(entry.data[:at] + value + entry.data[at + size :])[: len(entry.data)])


def _extra(draft: Draft, index: int, draw: random.Random) -> Draft:
    """An alpha of any kind, or a tensor of another format."""
    entry = draft.entries[index]
    name = re.sub(r"\.lora_.*", "", entry.name, flags=re.DOTALL) + draw.choice(
        (".alpha", ".diff", ".lora_route.weight")
    )
    dtype, data = draw.choice((("F32", struct.pack("<f", 4)), ("I64", struct.pack("<q", 4)), ("BOOL", b"\1")))
    return replace(draft, entries=(*draft.entries, Entry(name, dtype, draw.choice(((), (1,), (1, 1))), data)))


def _about(draft: Draft, index: int, draw: random.Random) -> Draft:
    key = draw.choice(("top_k", "top_k", "format", draw.choice(PIECES)))
    return replace(draft, metadata=draft.metadata | {key: draw.choice(TOP_K)})


def _header(data: bytes, draw: random.Random) -> bytes:
    """Change the header's text; the length in front stays true."""
    header, body = split(data)
    choice = draw.randrange(5)
    numbers = list(re.finditer(rb"\d+", header))
    if choice == 0 and numbers:
        spot = draw.choice(numbers)
        new = draw.choice((str(draw.choice(NUMBERS)).encode(), draw.choice(TEXTS)))
        return framed(header[: spot.start()] + new + header[spot.end() :], body)
    if choice == 4 and (entries := re.findall(rb'"[^"]*":\{[^{}]*\}', header)):
        # The same name for the same bytes once more, which no writer can be made to do.
        again = draw.choice(entries).replace(b"F32", draw.choice((b"F32", b"I32")))
        return framed(header.rstrip(b" }") + b"}," + again + b"}", body)
    cut, end = sorted(draw.randrange(len(header) + 1) for _ in range(2))
    if choice == 1:
        return framed(header[:cut] + draw.choice(TEXTS) + header[cut:], body)
    if choice == 2:
        return framed(header[:cut] + header[end:], body)
    return framed(header[:end] + header[cut:end] + header[end:], body)


def _truncate(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def _flip(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.randint(1, 4) if data else 0):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def _lie(data: bytes, draw: random.Random) -> bytes:
    """A header length that is not the header's."""
    length = draw.choice(NUMBERS) % 2**64 if draw.random() < 0.7 else max(0, len(split(data)[0]) + draw.randint(-9, 9))
    return struct.pack("<Q", length) + data[8:]


def _lengthen(data: bytes, draw: random.Random) -> bytes:
    return data + draw.randbytes(draw.choice((1, 8, 500)))


PARTS: tuple[Callable[[Draft, int, random.Random], Draft], ...] = (
    _rename, _rename, _relabel, _drop, _double, _swap, _reshape, _resize, _retype, _revalue, _extra, _about,
)  # fmt: skip
BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (_truncate, _flip, _lie, _lengthen)
