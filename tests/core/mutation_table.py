"""Changes to files of strangers: a table by kind of file, of which hypothesis draws some and keeps what matters."""

from __future__ import annotations

import copy
import io
import json
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import torch
from hypothesis import strategies as st

Draw = Callable[..., Any]
Change = Callable[[bytes, Draw], bytes]

NUMBERS = (0, 1, 2, 7, -1, 255, 2**16, 2**31, 2**53, 2**63, 2**64, 10**9, 1.5, 1e308, math.inf, math.nan)
WORDS = ("", "x", "../x", "/etc/passwd", "a\0b", "\x1b[2J\x07", "\u202e", "\ud800", "\n", "9" * 5000, "x" * 3000)
ODD: tuple[Any, ...] = (None, True, False, *NUMBERS, *WORDS, [], {}, [[]], [1], {"a": 1}, {"a": {"a": [{}]}})
KEYS = (
    "auto_map", "quantization_config", "attn_implementation", "_attn_implementation", "model_type", "architectures",
    "dtype", "rope_parameters", "rope_type", "num_hidden_layers", "depth", "hidden_size", "patch_size", "chat_template",
    "size", "longest_edge", "alpha_pattern", "rank_pattern", "use_rslora", "bias", "megatron_config",
    "layers_to_transform", "modules_to_save", "task", "__metadata__", "top_k", "fused", "maximize", "amsgrad",
)  # fmt: skip
TEXTS = (
    b"NaN",
    b"1e999",
    b"null",
    b'""',
    b"{}",
    b"[" * 9,
    b"[" * 50_000,
    b"9" * 5000,
    b'"\\ud800"',
    b"\xff",
    b"\0",
    b"{{ a }}",
)
PIECES = (
    ".lora_A", ".lora_B", ".lora_down", ".lora_route", ".alpha", ".weight", ".default", ".bias", ".expert_0",
    ".expert_1", ".expert_-1", ".expert_" + "9" * 5000, ".dora_scale", "transformer.", "base_model.model.",
    "lora_unet_", ".", "..", "\n", "\0", "\u202e", "x" * 3000, "__metadata__",
)  # fmt: skip
DTYPES = ("F32", "F64", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F4", "I64", "I32", "U8", "BOOL", "C64", "")


def pick(draw: Draw, among: Sequence[Any]) -> Any:
    return draw(st.sampled_from(among))


def at(draw: Draw, most: int) -> int:
    return draw(st.integers(0, max(0, most)))


# --- any bytes


def cut(data: bytes, draw: Draw) -> bytes:
    return data[: at(draw, len(data))]


def flip(data: bytes, draw: Draw) -> bytes:
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4)) if data else 0):
        changed[at(draw, len(data) - 1)] = draw(st.integers(0, 255))
    return bytes(changed)


def flip_an_end(data: bytes, draw: Draw) -> bytes:
    """As `flip`, in the first or last part, where headers and footers are."""
    part = min(len(data), 1500)
    if draw(st.booleans()):
        return flip(data[:part], draw) + data[part:]
    return data[:-part] + flip(data[-part:], draw) if part else data


def insert(data: bytes, draw: Draw) -> bytes:
    place = at(draw, len(data))
    return data[:place] + pick(draw, TEXTS) + data[place:]


def leave_out(data: bytes, draw: Draw) -> bytes:
    start, end = sorted((at(draw, len(data)), at(draw, len(data))))
    return data[:start] + data[end:]


BYTES: tuple[Change, ...] = (flip, flip_an_end, cut, insert, leave_out)


# --- values: JSON, and what a checkpoint holds


def change_value(value: Any, draw: Draw) -> Any:
    """One entry somewhere in nested dicts and lists replaced, dropped, renamed or added."""
    if isinstance(value, (dict, list)) and value and draw(st.integers(0, 3)):
        return _change_inside(copy.copy(value), draw)
    if isinstance(value, torch.Tensor):
        return _change_tensor(value, draw)
    if isinstance(value, dict) and draw(st.booleans()):
        return value | {pick(draw, KEYS): pick(draw, ODD)}
    return pick(draw, ODD)


def _change_inside(value: Any, draw: Draw) -> Any:
    place = pick(draw, list(value) if isinstance(value, dict) else range(len(value)))
    how = pick(draw, ("change", "change", "change", "drop", "odd", "exchange", "rename"))
    if how == "change":
        value[place] = change_value(value[place], draw)
    elif how == "odd":
        value[place] = pick(draw, ODD)
    elif how == "exchange":
        value[place] = value[pick(draw, list(value) if isinstance(value, dict) else range(len(value)))]
    else:
        taken = value.pop(place)
        if how == "rename" and isinstance(value, dict):
            value[_renamed(str(place), draw)] = taken
    return value


def _renamed(name: str, draw: Draw) -> str:
    found = [piece for piece in PIECES if piece in name]
    if found and draw(st.booleans()):
        return name.replace(pick(draw, found), pick(draw, ("", *PIECES)), 1)
    place = at(draw, len(name))
    return name[:place] + pick(draw, PIECES) + name[place:]


def _change_tensor(tensor: torch.Tensor, draw: Draw) -> Any:
    how = pick(
        draw, ("flat", "more", "empty", "nan", "inf", "int", "half", "bool", "list", "sparse", "expanded", "number")
    )
    return {
        "flat": lambda: tensor.flatten(),
        "more": lambda: torch.ones(*tensor.shape, 2),
        "empty": lambda: tensor[..., :0] if tensor.ndim else torch.empty(0),
        "nan": lambda: torch.full_like(tensor, math.nan),
        "inf": lambda: torch.full_like(tensor, math.inf),
        "int": lambda: tensor.to(torch.int64),
        "half": lambda: tensor.half(),
        "bool": lambda: torch.ones(tensor.shape, dtype=torch.bool),
        "list": lambda: tensor.tolist(),
        "sparse": lambda: tensor.to_sparse() if tensor.ndim else tensor,
        "expanded": lambda: torch.ones(1).expand(1 << 40),
        "number": lambda: 3,
    }[how]()


def change_json(data: bytes, draw: Draw) -> bytes:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):  # changed before
        return flip(data, draw)
    return json.dumps(change_value(value, draw)).encode()


def change_line(data: bytes, draw: Draw) -> bytes:
    lines = data.split(b"\n")
    place = at(draw, len(lines) - 1)
    lines[place] = pick(draw, (change_json, *BYTES))(lines[place], draw)
    return b"\n".join(lines)


def change_state(data: bytes, draw: Draw) -> bytes:
    """A checkpoint's values; the file stays whole."""
    try:
        state = torch.load(io.BytesIO(data), weights_only=True)
    except Exception:  # changed before, in any way
        return flip(data, draw)
    written = io.BytesIO()
    torch.save(change_value(state, draw), written)
    return written.getvalue()


# --- safetensors


def parts_of(data: bytes) -> tuple[bytes, bytes]:
    """Header and body, as the first eight bytes say."""
    length = min(int.from_bytes(data[:8], "little"), len(data))
    return data[8 : 8 + length], data[8 + length :]


def framed(header: bytes, body: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + body


def change_header(data: bytes, draw: Draw) -> bytes:
    """The header's JSON, as values or as text; the length in front stays true."""
    header, body = parts_of(data)
    return framed(pick(draw, (change_json, *BYTES))(header, draw), body)


def change_tensors(data: bytes, draw: Draw) -> bytes:
    """A valid file of other tensors: dropped, doubled, renamed, of another shape, dtype or value."""
    header, body = parts_of(data)
    try:
        about = json.loads(header)
        more = about.pop("__metadata__", {})
        entries = [(n, e["dtype"], e["shape"], body[slice(*e["data_offsets"])]) for n, e in about.items()]
        place = at(draw, len(entries) - 1)
        name, dtype, shape, numbers = entries[place]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):  # changed before
        return flip(data, draw)
    how = pick(draw, ("drop", "double", "rename", "as another", "reshape", "retype", "revalue", "metadata"))
    if how == "drop":
        del entries[place]
    elif how == "double":
        entries.append(entries[place])
    elif how == "rename":
        entries[place] = (_renamed(name, draw), dtype, shape, numbers)
    elif how == "as another":
        entries[place] = (pick(draw, entries)[0], dtype, shape, numbers)
    elif how == "reshape":
        sides = draw(st.lists(st.integers(0, 40), max_size=3))
        entries[place] = (name, "F32", sides, struct.pack("<f", 0.5) * math.prod(sides))
    elif how == "retype":
        entries[place] = (
            name,
            pick(draw, DTYPES),
            shape,
            numbers[: at(draw, len(numbers))] if at(draw, 3) == 3 else numbers,
        )
    elif how == "revalue":
        entries[place] = (name, dtype, shape, pick(draw, (b"\xff", b"\x7f", b"\0")) * len(numbers))
    else:
        more = {**more, pick(draw, ("top_k", "format")): pick(draw, ("2", "0", "99", "1e3", "", "\u0661", "9" * 5000))}
    return packed(entries, more)


def packed(entries: Sequence[tuple[str, str, Sequence[int], bytes]], metadata: dict) -> bytes:
    """The file; entries of one name stay two, which a dict could not say."""
    texts, start = [f'"__metadata__":{json.dumps(metadata)}'] if metadata else [], 0
    for name, dtype, shape, numbers in entries:
        about = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, start := start + len(numbers)]}
        texts.append(f"{json.dumps(name)}:{json.dumps(about)}")
    return framed(("{" + ",".join(texts) + "}").encode(), b"".join(entry[3] for entry in entries))


TABLE: dict[str, tuple[Change, ...]] = {
    ".json": (*[change_json] * 9, *BYTES),
    ".jsonl": (change_line, change_line, *BYTES),
    ".safetensors": (*[change_tensors] * 6, *[change_header] * 2, *BYTES),
    ".pt": (*[change_state] * 9, *BYTES),
}


# --- folders

Files = dict[str, Any]  # name -> bytes, or one of SPECIAL
SPECIAL = ("folder", "pipe", "circle")


@st.composite
def changed(draw: Draw, files: Files, among: Sequence[str] = ()) -> Files:
    """The files of a folder with one to three changes, to those in `among` alone if it names any."""
    made, names = dict(files), sorted(among or files)
    for _ in range(draw(st.integers(1, 3))):
        name = pick(draw, names)
        if not isinstance(made.get(name), bytes):
            continue
        suffix = name[name.rindex(".") :]
        if draw(st.integers(0, 19)) == 19:
            made[name] = pick(draw, (*SPECIAL, None, b"", *(other for other in made.values() if other)))
        else:
            made[name] = pick(draw, TABLE.get(suffix, BYTES))(made[name], draw)
    return {name: data for name, data in made.items() if data is not None}
