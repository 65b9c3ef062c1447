"""A folder of one's own: a JSONL with a line for each edit.

Fields: source, instruction; if known target, mask (white may change), task, id, source_caption, target_caption. Paths
are relative to the JSONL and stay in its folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ... import foreign
from ...plain_files import json_object, numbered_lines, open_regular
from ...training.data.rows import BrokenRow
from ..items import MOST_LINE, MOST_LIST, About, Choice, Item, mask_of, picture, words

ABOUT = About(
    "folder",
    "Where a row has a target, the edit is compared with that, else with the source; brought to its size (bicubic).",
    ("pixels", "clip", "dino", "quality", "masked", "unedited"),
    against="target",
)


def read(data: Path, choice: Choice) -> Iterator[Item | BrokenRow]:
    file = jsonl(data)
    try:
        opened = open_regular(file, MOST_LIST)
    except ValueError as problem:
        raise ValueError(f"--data: {file} {problem}, but a JSONL is needed.") from None
    with opened:
        for number, line in numbered_lines(opened, MOST_LINE):
            key = f"{file.name}:{number}"
            try:
                if len(line) > MOST_LINE:
                    raise BrokenRow(key, f"the line has more than {MOST_LINE} bytes")
                yield _item(key, line, file.parent)
            except BrokenRow as problem:
                yield problem


def jsonl(data: Path) -> Path:
    """The JSONL itself, or the only one in a folder.

    Raises:
        ValueError: there is none, or several.
    """
    found = [data] if data.is_file() else sorted(data.glob("*.jsonl"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none there"
        raise ValueError(f"--data got {data} ({names}), but a folder with one JSONL is needed. Name the JSONL itself.")
    return found[0]


def _item(key: str, line: bytes, root: Path) -> Item:
    try:
        fields = json_object(line)
    except ValueError as problem:
        raise BrokenRow(key, f"the line {problem}") from None
    named = fields.get("id", key)
    key = foreign.line(named) if isinstance(named, (str, int)) and str(named).strip() else key
    told = words(key, fields.get("instruction"))
    source = picture(key, "source", root, fields.get("source", fields.get("image")))
    target = None if fields.get("target") is None else picture(key, "target", root, fields["target"])
    mask = None
    if fields.get("mask") is not None:
        mask = mask_of(key, picture(key, "mask", root, fields["mask"]), source.size)
    before, after = fields.get("source_caption"), fields.get("target_caption")
    captions = (words(key, before, "source_caption"), words(key, after, "target_caption")) if before and after else None
    task = fields.get("task")
    return Item(key, source, told, foreign.line(task) if task else "", target, mask, captions)
