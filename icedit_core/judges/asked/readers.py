"""Readers of the answers of published judges, for question files; no words of theirs stand here.

Each takes the answers to a set's blocks and gives a `Score`, the share of the first edit in a comparison, or None where
the answers do not say it themselves.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .. import words
from ..json_text import objects
from ..scores import Region, Score
from ..viescore import LONGEST_REASON
from .reasons_first import read as read_reasons

_EDIT, _PAIR, _ALONE = ("source", "edit"), ("source", "first", "second"), ("edit",)
MOST_REGIONS = 64


class Reader(NamedTuple):
    """pictures: of each block; form: the answer that is needed, in words; shown_to: end of the scale shown, if another
    than the answers' own `largest`."""

    read: Callable[[Sequence[str], float], Score | float | None]
    pictures: tuple[tuple[str, ...], ...]
    form: str
    largest: float = 10.0
    tokens: int = 1024
    smallest: float = 0.0
    shown_to: float = 0.0

    @property
    def compares(self) -> bool:
        return "first" in self.pictures[0]


def winner(answers: Sequence[str], largest: float) -> float | None:
    """PVC-Judge's {"winner": "Image A"}, "Image B" or "Tie", A being the edit shown first.

    Source of the form: GEditBench v2.
    """
    told = {str(data["winner"]).strip().lower() for data in objects(answers[0]) if "winner" in data}
    known = {"image a": 1.0, "a": 1.0, "image b": 0.0, "b": 0.0, "tie": 0.5}
    return known.get(told.pop()) if len(told) == 1 else None


_RATED = re.compile(
    r"^\W{0,20}(?P<name>[A-Za-z][\w &/-]{2,60}?)\W{0,20}:\W{0,20}"
    r"(?P<value>[0-9]{1,4}(?:\.[0-9]{1,20})?)(?:\s{0,4}/\s{0,4}5)?\W{0,20}$"
)
"""Of bounded lengths: without them a hostile line takes minutes."""


def three_numbers(answers: Sequence[str], largest: float) -> Score | None:
    """ImgEdit-Judge's lines "Name: number", exactly three of them, from 1 to `largest`; their mean.

    Source of the form: ImgEdit, arXiv 2505.20275.
    """
    found = [match for one in answers[0].splitlines() if (match := _RATED.match(one.strip()))]
    values = [float(match["value"]) for match in found]
    if len(values) != 3 or not all(1 <= value <= largest for value in values):
        return None
    reason = ", ".join(f"{words.line(match['name'], 60)} {float(match['value']):g}" for match in found)
    return Score(math.nan, math.nan, sum(values) / 3, reason)


_SCORES = re.compile(r"<score>\s*\[?\s*([^<\]]*?)\s*\]?\s*</score>", re.IGNORECASE)
_BETTER = re.compile(r"<answer>(.*?)</answer>", re.IGNORECASE | re.DOTALL)


def thinker(answers: Sequence[str], largest: float) -> Score | None:
    """EditThinker's <score> with one or more numbers, their mean, and its better words for the instruction in <answer>.

    Source of the form: EditThinker, arXiv 2512.05965.
    """
    found = _SCORES.findall(answers[0])
    parts = re.split(r"[,\s]+", found[0]) if len(found) == 1 else []
    values = [float(one) for one in parts if re.fullmatch(r"\d+(?:\.\d+)?", one)]
    if not values or len(values) != len(parts) or max(values) > largest:
        return None
    better = _BETTER.search(answers[0])
    advice = words.line(better[1], LONGEST_REASON) if better and better[1].strip() else ""
    reason = f"scores {', '.join(f'{value:g}' for value in values)}" + f"; better: {advice}" * bool(advice)
    return Score(math.nan, math.nan, sum(values) / len(values), reason, advice=advice)


def reasons_first(answers: Sequence[str], largest: float) -> Score | None:
    """EditScore's form, on a scale of its own: two numbers of the edit, one or two of the picture alone."""
    sc, pq = read_reasons(answers[0], 2, largest), read_reasons(answers[1], 1, largest)
    if sc is None or pq is None:
        return None
    a, b = min(sc.values), min(pq.values)
    return Score(a, b, math.sqrt(a * b), words.line(f"{sc.reason}; {pq.reason}", LONGEST_REASON))


FOLLOWING, KEPT, NATURAL, CLEAN, POWER = 0.6, 0.4, 0.5, 0.5, 0.8


def spatial_reward(answers: Sequence[str], largest: float) -> Score | None:
    """SpatialReward's numbers and edit regions.

    SC = .6 following + .4 kept, PQ = .5 natural + .5 clean, both brought to 0-10; overall = SC^.8 PQ^.2.
    Source: SpatialReward, arXiv 2602.07458; `weighted_geometric_mean` of its published scorer. Where that fills up a
    missing number with half of the scale, this gives None.
    """
    sc, pq = (read_reasons(answer, 2, largest) for answer in answers)
    if sc is None or pq is None or len(sc.values) != 2 or len(pq.values) != 2:
        return None
    a = (FOLLOWING * sc.values[0] + KEPT * sc.values[1]) / (largest / 10)
    b = (NATURAL * pq.values[0] + CLEAN * pq.values[1]) / (largest / 10)
    reason = words.line(f"SC {a:.2f}: {sc.reason}; PQ {b:.2f}: {pq.reason}", LONGEST_REASON)
    return Score(a, b, a**POWER * b ** (1 - POWER), reason, regions=regions(answers[0]))


_LIST = re.compile(r"edit_region[\"']?\s*:\s*(\[.*)", re.DOTALL)


def regions(text: str) -> tuple[Region, ...]:
    """The boxes under "edit_region", in thousandths of the picture; those that are no boxes are left out."""
    found = _LIST.search(text)
    try:
        listed: Any = json.JSONDecoder(strict=False).raw_decode(found[1])[0] if found else []
    except (ValueError, RecursionError):
        return ()
    made = [_region(one) for one in listed[:MOST_REGIONS] if isinstance(one, dict)]
    return tuple(one for one in made if one is not None)


def _region(one: dict[str, Any]) -> Region | None:
    box = one.get("bbox_2d")
    if not isinstance(box, list) or len(box) != 4:
        return None
    if not all(isinstance(side, (int, float)) and 0 <= side <= 1000 for side in box):
        return None
    left, top, right, bottom = (side / 1000 for side in box)
    label = words.line(one["label"], 60) if one.get("label") else ""
    return Region(left, top, right, bottom, label) if left < right and top < bottom else None


READERS = {
    "winner": Reader(winner, (_PAIR,), '{"winner": "Image A", "Image B" or "Tie"}'),
    "three_numbers": Reader(three_numbers, (_EDIT,), "three lines 'name: number'", 5.0, smallest=1.0),
    "thinker": Reader(thinker, (_EDIT,), "<score> with numbers of the scale", tokens=4096),
    "reasons_first": Reader(reasons_first, (_EDIT, _ALONE), '{"reasoning": ..., "score": [a, b]}'),
    "spatial_reward": Reader(
        spatial_reward, (_EDIT, _ALONE), 'two numbers in "score" of both answers', 25.0, 4096, shown_to=10.0
    ),
}
"""Name in a question file -> reader."""
