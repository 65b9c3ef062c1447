"""A question set from a file that the user supplies, for judges whose words may not be passed on.

    name: PVC-Judge
    reader: winner
    --- system
    (words before the question, if there are any)
    --- source, first, second
    (the question; <instruction> stands for the instruction)

Lines `key: value` come first: name (shown with every number), reader (one of `readers.READERS`), largest (end of the
scale), tokens, temperature, top_p, top_k. Each block begins with the pictures that are shown, in their order: source
and edit for a score, source, first and second for a comparison. A set may have several blocks, as SpatialReward has.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ...foreign import line
from ...plain_files import open_regular
from ...ranking import Duel, together
from .. import words
from ..judge import Judge, Manner
from ..pair import Preference, in_both_orders
from ..scores import Score
from . import readers

WHO = "ICEdit judge"
MOST_CHARACTERS = 50_000
_HEAD = re.compile(r"^---[ \t]*(?P<what>[a-z, ]+?)[ \t]*$", re.MULTILINE)
_KEYS = ("name", "reader", "largest", "tokens", "temperature", "top_p", "top_k")


@dataclass(frozen=True)
class Block:
    """One question and the pictures that it is about, by name."""

    pictures: tuple[str, ...]
    question: str


@dataclass(frozen=True)
class _FileSet:
    name: str
    reader: readers.Reader
    blocks: tuple[Block, ...]
    largest: float
    tokens: int
    manner: Manner = field(default_factory=Manner)

    @property
    def scale(self) -> str:
        return "{:g} to {:g}".format(*self.ends)

    @property
    def ends(self) -> tuple[float, float]:
        return self.reader.smallest, self.reader.shown_to or self.largest


@dataclass(frozen=True)
class ScoringFile(_FileSet):
    """See `base.Scoring`."""

    async def score(self, judge: Judge, source: Tensor, edit: Tensor, instruction: str) -> Score:
        """One answer for each block, read together."""
        shown = {"source": source, "edit": edit}
        asked = [
            judge.ask(
                [shown[name] for name in block.pictures],
                block.question.replace("<instruction>", instruction),
                self.tokens,
                self.manner,
            )
            for block in self.blocks
        ]
        answers = await together(asked)
        found = self.reader.read([answer.text for answer in answers], self.largest)
        if isinstance(found, Score):
            return found
        note = f"{judge.name} answered {' / '.join(answer.shown for answer in answers)} instead of {self.reader.form}"
        return Score(math.nan, math.nan, math.nan, "unreadable", (note,))


@dataclass(frozen=True)
class ComparingFile(_FileSet):
    """See `base.Comparing`."""

    async def compare(
        self,
        judge: Judge,
        source: Tensor,
        candidates: list[Tensor],
        instruction: str,
        first: int,
        second: int,
        both_orders: bool = True,
    ) -> Duel:
        """The block's question on both, in both orders if wanted."""
        (block,) = self.blocks
        question = block.question.replace("<instruction>", instruction)

        async def prefer(a: int, b: int) -> Preference:
            shown = {"source": source, "first": candidates[a], "second": candidates[b]}
            pictures = [shown[name] for name in block.pictures]
            answer = await judge.ask(pictures, question, self.tokens, self.manner)
            found = self.reader.read([answer.text], self.largest)
            if not isinstance(found, float):
                note = f"{judge.name} answered {answer.shown} instead of {self.reader.form}: counted as a tie"
                return None, "unreadable", note
            return found, words.line(answer.text), ""

        return await in_both_orders(first, second, both_orders, prefer)


def read(file: Path, where: str) -> ScoringFile | ComparingFile:
    """Read a question file of the disk.

    Args:
        where: its name, for errors.
    Raises:
        ValueError: it cannot be read, or see `parse`.
    """
    try:
        with open_regular(file, 4 * MOST_CHARACTERS) as opened:
            text = opened.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _unread(where, "is not UTF-8") from None
    except ValueError as error:
        raise _unread(where, str(error)) from None
    return parse(text.replace("\r\n", "\n"), where)


def _unread(where: str, why: str) -> ValueError:
    return ValueError(
        f"{WHO}: the question file {line(where)} {line(why)}, but a text file in UTF-8 is needed. Save it as one."
    )


def parse(text: str, where: str) -> ScoringFile | ComparingFile:
    """Read a question file.

    Args:
        where: the file's name, for errors.
    Raises:
        ValueError: something is missing, unknown or too long.
    """
    if len(text) > MOST_CHARACTERS:
        raise _refused(where, f"has {len(text)} characters", f"{MOST_CHARACTERS} at most")
    heads = list(_HEAD.finditer(text))
    settings = _settings(text[: heads[0].start()] if heads else text, where)
    ends = [*(head.start() for head in heads[1:]), len(text)][: len(heads)]
    parts = [(head["what"], text[head.end() : end].strip("\n")) for head, end in zip(heads, ends, strict=True)]
    reader = readers.READERS.get(settings.get("reader", ""))
    if reader is None:
        raise _refused(where, f"has the reader {line(settings.get('reader'))}", f"one of {', '.join(readers.READERS)}")
    blocks = tuple(Block(tuple(re.findall(r"[a-z]+", what)), words) for what, words in parts if what != "system")
    wanted = [sorted(names) for names in reader.pictures]
    if [sorted(block.pictures) for block in blocks] != wanted or not all(block.question.strip() for block in blocks):
        raise _refused(
            where,
            f"has blocks for {line([', '.join(block.pictures) for block in blocks])}",
            " and ".join(f"'--- {', '.join(names)}'" for names in reader.pictures) + ", each with its words,",
        )
    numbers = _numbers(settings, where)
    manner = Manner(
        temperature=numbers.get("temperature", 0.0),
        top_p=numbers.get("top_p", 1.0),
        top_k=int(numbers.get("top_k", 0)),
        system="\n".join(words for what, words in parts if what == "system"),
    )
    kind = ComparingFile if reader.compares else ScoringFile
    largest, tokens = numbers.get("largest", reader.largest), int(numbers.get("tokens", reader.tokens))
    return kind(line(settings.get("name", where), 60), reader, blocks, largest, tokens, manner)


def _settings(text: str, where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in filter(str.strip, text.splitlines()):
        key, colon, value = one.partition(":")
        if not colon or key.strip() not in _KEYS:
            raise _refused(where, f"begins with the line '{line(one, 60)}'", f"lines like 'key: value' of {_KEYS}")
        found[key.strip()] = value.strip()
    return found


def _numbers(settings: Mapping[str, str], where: str) -> dict[str, Any]:
    bounds = {"largest": (1, 1000), "tokens": (1, 65536), "temperature": (0, 2), "top_p": (0, 1), "top_k": (0, 1000)}
    found = {}
    for key in bounds.keys() & settings.keys():
        try:
            found[key] = float(settings[key])
        except ValueError:
            found[key] = math.nan
        low, high = bounds[key]
        if not low <= found[key] <= high:
            raise _refused(where, f"has {key} {line(settings[key], 30)}", f"a number from {low} to {high}")
    return found


def _refused(where: str, got: str, needed: str) -> ValueError:
    return ValueError(
        f"{WHO}: the question file {line(where)} {got}, but {needed} is needed. The help of the judge's node has an "
        "example."
    )
