"""What is to be edited: a folder of pictures, or a JSONL with one object a line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import foreign
from ..cli import saving
from ..plain_files import json_object, numbered_lines, open_regular

PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"}
FIELDS = ("image", "instruction", "id", "seed", "set")
MOST_ROWS = 1_000_000
MOST_LIST = 2 << 30  # bytes of a JSONL
MOST_LINE = 1 << 20
MOST_WORDS = 1 << 16  # bytes of a text file beside a picture
SEED_RANGE = 2**64


@dataclass(frozen=True)
class Row:
    """One edit.

    Attributes:
        key: names the row in the records; unique.
        name: its pictures' file name without ending; unique, also where upper and lower case are the same.
        seed: of the noise; None is the workflow's own.
        settings: (NODE.INPUT, value) as text.
        after: key of the row whose picture this one edits; it is edited once that one is.
    """

    key: str
    name: str
    image: Path
    instruction: str
    seed: int | None = None
    settings: tuple[tuple[str, str], ...] = ()
    after: str = ""

    def wish(self) -> dict[str, Any]:
        """What a record repeats of the row, to tell whether a later run means the same edit."""
        return {"image": self.image.name, "instruction": self.instruction, "seed_wanted": self.seed} | (
            {"set": dict(self.settings)} if self.settings else {}
        )


@dataclass(frozen=True)
class Broken:
    """A row that cannot be sent, and why."""

    key: str
    reason: str


class _Bad(ValueError):
    pass


def read(given: Path, instruction: str | None = None, seed: int | None = None) -> tuple[list[Row], list[Broken]]:
    """The rows of a folder or a JSONL, in the order of names or lines.

    In a folder every picture is a row; its words stand in a `.txt` file of the same name, or are `instruction`. A
    JSONL's line has `image` (a path inside the JSONL's folder) and, unless `instruction` is given, `instruction`; it
    may have `id`, `seed` and `set`, an object of NODE.INPUT: value.

    Args:
        instruction: for rows without words of their own.
        seed: for rows without one.
    Raises:
        ValueError: nothing there, or more than `MOST_ROWS`.
    """
    if given.is_dir():
        raw = _of_folder(given, instruction)
    elif given.is_file():
        raw = _of_list(given, instruction)
    else:
        raise ValueError(f"got {given}, but there is no such file or folder. Give a folder of pictures or a JSONL.")
    rows, broken = _checked(raw, seed)
    if not rows and not broken:
        kinds = ", ".join(sorted(PICTURES))
        raise ValueError(f"{given} has no rows, but a picture ({kinds}) or a line of a JSONL is needed for each edit.")
    return rows, broken


def _checked(raw: Iterator[tuple[str, Any]], seed: int | None) -> tuple[list[Row], list[Broken]]:
    """Rows with keys and names of their own; a key that comes again is a broken row."""
    rows: list[Row] = []
    broken: list[Broken] = []
    keys: set[str] = set()
    names: set[str] = set()
    for key, made in raw:
        if len(keys) + len(broken) >= MOST_ROWS:
            raise ValueError(f"there are more than {MOST_ROWS} rows, but a run takes so many. Divide them.")
        if isinstance(made, _Bad):
            broken.append(Broken(key, foreign.line(made, 500)))
        elif made["id"] in keys:
            broken.append(Broken(key, f"the id {foreign.line(made['id'])} is there twice; the first one is edited"))
        else:
            keys.add(made["id"])
            name = free_name(made["id"], names)
            own = seed if made["seed"] is None else made["seed"]
            rows.append(Row(made["id"], name, made["image"], made["instruction"], own, made["set"]))
    return rows, broken


def free_name(key: str, taken: set[str]) -> str:
    """A file name after the key that nobody has yet, whatever the case; it is taken from now on."""
    stem = saving.safe_stem(f"{key}.")
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}_{number}"
    taken.add(name.casefold())
    return name


def _of_folder(folder: Path, instruction: str | None) -> Iterator[tuple[str, Any]]:
    root = folder.resolve()
    for file in sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES):
        key = foreign.line(file.name)
        try:
            image = _inside(root, file.name)
            words = file.with_suffix(".txt")
            own = _words_of(words) if words.exists() else instruction
            yield key, _row(key, image, own, None, None)
        except _Bad as problem:
            yield key, problem


def _words_of(file: Path) -> str:
    try:
        with open_regular(file, MOST_WORDS) as opened:
            return opened.read().decode("utf-8").strip()
    except ValueError as problem:  # bad UTF-8 is one
        raise _Bad(f"{file.name}: {problem}") from None


def _of_list(file: Path, instruction: str | None) -> Iterator[tuple[str, Any]]:
    root = file.parent.resolve()
    try:
        opened = open_regular(file, MOST_LIST)
    except ValueError as problem:
        raise ValueError(f"{file} {problem}, but a JSONL is needed.") from None
    with opened:
        for number, line in numbered_lines(opened, MOST_LINE):
            key = f"{foreign.line(file.name)}:{number}"
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not line.strip():
                continue
            try:
                yield key, _of_line(root, key, line, instruction)
            except _Bad as problem:
                yield key, problem


def _of_line(root: Path, key: str, line: bytes, instruction: str | None) -> dict[str, Any]:
    if len(line) > MOST_LINE:
        raise _Bad(f"the line has more than {MOST_LINE} bytes")
    try:
        fields = json_object(line)
    except ValueError as problem:
        raise _Bad(f"the line {problem}") from None
    if "image" not in fields:
        raise _Bad(f"it has no image; it has {foreign.line(', '.join(fields))}")
    named = fields.get("id", key)
    if isinstance(named, int) and not isinstance(named, bool):
        named = str(named)
    if not isinstance(named, str) or not named.strip() or len(named) > 200 or not foreign.is_plain(named):
        raise _Bad(f"the id is {foreign.line(named)}, but 1 to 200 letters are needed")
    image = _inside(root, fields["image"])
    return _row(named, image, fields.get("instruction", instruction), fields.get("seed"), fields.get("set"))


def _row(key: str, image: Path, words: object, seed: object, settings: object) -> dict[str, Any]:
    if not isinstance(words, str) or not words.strip():
        raise _Bad(f"the instruction is {foreign.line(words)}, but words are needed (or --instruction for all)")
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in words):
        raise _Bad("the instruction is no valid Unicode text")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < SEED_RANGE):
        raise _Bad(f"the seed is {foreign.line(seed)}, but a whole number from 0 to 2**64 - 1 is needed")
    if not image.is_file():
        raise _Bad(f"the picture {foreign.line(image.name)} is missing or no regular file")
    return {"id": key, "image": image, "instruction": words.strip(), "seed": seed, "set": _settings(settings)}


def _settings(given: object) -> tuple[tuple[str, str], ...]:
    if given is None:
        return ()
    if not isinstance(given, dict) or not all(isinstance(value, (str, int, float)) for value in given.values()):
        raise _Bad(f"set is {foreign.line(given)}, but an object of NODE.INPUT: plain value is needed")
    return tuple((name, str(value)) for name, value in given.items())


def _inside(root: Path, written: object) -> Path:
    """A picture's path, which stays inside the folder, also through links."""
    if not isinstance(written, str) or not written.strip():
        raise _Bad(f"the image is {foreign.line(written)}, but a path is needed")
    try:
        path = (root / written).resolve()
    except (OSError, RuntimeError, ValueError) as problem:
        raise _Bad(f"the path {foreign.line(written)} is none: {foreign.line(problem)}") from None
    if not path.is_relative_to(root):
        raise _Bad(f"the path {foreign.line(written)} leads out of the folder")
    return path
