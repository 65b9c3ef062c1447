"""Published pairs of real editors with what counts as changed in them (real_editors.json).

The boxes were drawn by eye before a change detector ran on the pairs. A box that is plainly wrong may be corrected
with a sentence in its `corrected`; none is ever fitted to what a detector finds. The pictures are not ours: they are
read from ComfyUI's template packages (`root` templates) or from a folder that the user names (`root` pictures).
"""

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("real_editors.json")
KINDS = ("local", "whole")
ROOTS = ("templates", "pictures")
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class EditorPair:
    """One source, what an editor made of it, and its label.

    `boxes` are (x0, y0, x1, y1) as fractions of the source's size; none if the whole picture changed.
    """

    name: str
    editor: str
    root: str
    source: str
    edit: str
    sha256: tuple[str, str]  # the first 16 digits, of source and edit
    kind: str
    boxes: tuple[Box, ...]
    what: str
    corrected: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.root not in ROOTS:
            raise ValueError(f"{self.name}: kind {self.kind!r}, root {self.root!r}, but one of {KINDS}, {ROOTS} each.")
        if bool(self.boxes) != (self.kind == "local"):
            raise ValueError(f"{self.name}: {len(self.boxes)} boxes, but a local edit has some and a whole one none.")
        for x0, y0, x1, y1 in self.boxes:
            if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
                raise ValueError(f"{self.name}: box {x0, y0, x1, y1}, but x0 < x1 and y0 < y1 must lie in 0..1.")

    def mask(self, height: int, width: int) -> np.ndarray:
        """The pixels inside the boxes, (H, W) bool; every pixel for a whole-picture edit."""
        inside = np.full((height, width), self.kind == "whole")
        for x0, y0, x1, y1 in self.boxes:
            inside[round(y0 * height) : round(y1 * height), round(x0 * width) : round(x1 * width)] = True
        return inside


def read(path: Path = FILE) -> list[EditorPair]:
    """All labelled pairs.

    Raises:
        ValueError: a label is not well formed, or two pairs have one name.
    """
    pairs = []
    for one in json.loads(path.read_text(encoding="utf-8"))["pairs"]:
        boxes = tuple(tuple(float(v) for v in box) for box in one["boxes"])
        pairs.append(EditorPair(**{**one, "boxes": boxes, "sha256": tuple(one["sha256"])}))
    names = [pair.name for pair in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"{path.name}: {sorted(n for n in set(names) if names.count(n) > 1)} are there twice.")
    return pairs


def files(pair: EditorPair, pictures: Path | None = None) -> tuple[Path, Path] | None:
    """Source and edit of a pair; None if one is not on this machine or is another picture than the labelled one."""
    if pair.root == "templates":
        found = importlib.util.find_spec(pair.source.split("/")[0])
        folder = Path(found.origin).parents[1] if found and found.origin else None
    else:
        folder = pictures
    if folder is None:
        return None
    paths = folder / pair.source, folder / pair.edit
    for path, digest in zip(paths, pair.sha256, strict=True):
        if not path.is_file() or not hashlib.sha256(path.read_bytes()).hexdigest().startswith(digest):
            return None
    return paths
