"""OmniEdit (TIGER-Lab/OmniEdit-Filtered-1.2M): omni_edit_id, task, src_img, edited_img, edited_prompt_list and scores.

A row has several wordings of one instruction. The published training draws one of them at every visit; here each row
keeps one, chosen by its id, because the encoded text is cached. Source: River-Zhang/ICEdit, train/src/train/data.py.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from ...foreign import line
from .images import decode
from .rows import BrokenRow, Row, checked_row, checked_words, hash_of
from .tables import Table, picture_bytes


class OmniEditRows:
    """The rows of local shards; keys are `omni_edit_id`.

    Raises:
        ValueError: nothing readable at the path.
    """

    def __init__(self, path: Path):
        self._table = Table(path, ("src_img", "edited_img", "edited_prompt_list"), ("omni_edit_id", "task"))

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> Row:
        values = self._table[index]
        key = str(values.get("omni_edit_id") or self._table.key(index))
        instruction = _wording(key, values["edited_prompt_list"])
        source = decode(key, "source", picture_bytes(key, "source", values["src_img"]))
        target = decode(key, "target", picture_bytes(key, "target", values["edited_img"]))
        return checked_row(key, source, target, instruction, values.get("task"))

    def fingerprint(self) -> str:
        return hash_of("omniedit", self._table.fingerprint())


def _wording(key: str, wordings: object) -> str:
    """One of the usable wordings: always the same for a key, evenly spread over keys."""
    usable = []
    for wording in wordings if isinstance(wordings, list) else [wordings]:
        try:
            usable.append(checked_words(key, wording))
        except BrokenRow:
            continue
    if not usable:
        raise BrokenRow(key, f"edited_prompt_list is {line(wordings)}, but an instruction is needed")
    return usable[zlib.crc32(key.encode("utf-8", "surrogatepass")) % len(usable)]
