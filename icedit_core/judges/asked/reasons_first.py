"""Answers of the form {"reasoning" : "...", "score" : [a, b]}, whole or repaired, read without a guess."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

_STRAIGHT = str.maketrans({"\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'"})
_LIST_ALONE = re.compile(r"\[[0-9]{1,9}, ?[0-9]{1,9}\]")
_NUMBER_ALONE = re.compile(r"\s*[0-9]+\s*")
_MOST_ALONE = 10
"""A number alone counts up to here: the published reader takes no larger one."""

_KEY = re.compile(r"""["']?\bscore["']?\s*:\s*""", re.IGNORECASE)
_NUMBERS = re.compile(r"\[([^\[\]{}]*)")
_ONE = re.compile(r"-?\d+(?:\.\d+)?")
_REASON_KEY = re.compile(r"""\breasoning["']?\s*:""")
_SCORE = re.compile(r"\bscore\b")


class Numbers(NamedTuple):
    """values: as the judge wrote them; reason: its words; data: the whole object, if it could be parsed."""

    values: tuple[float, ...]
    reason: str = ""
    data: dict[str, Any] | None = None


def read(text: str, least: int, largest: float) -> Numbers | None:
    """The numbers of an answer; None if it does not say them itself.

    Between the first and the last brace stands JSON, or something that is repaired by its keys. Without braces a list
    of two whole numbers counts, and a single small number where one is enough.

    Args:
        least: so many numbers are needed.
        largest: end of the scale, which begins at 0; a number outside of it makes the answer unreadable.
    Source: `mllm_output_to_dict` in editscore/utils.py, read for what it accepts. Where that draws a random number,
    raises or lets a number beyond the scale pass, this gives None.
    """
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < 0:
        return _checked(_without_braces(text), least, largest)
    inner = text[start : end + 1].replace("\n", "").translate(_STRAIGHT)
    try:
        data = json.loads(inner)
    except (ValueError, RecursionError):
        return _checked(_by_keys(inner), least, largest)
    if not isinstance(data, dict) or "score" not in data:
        return None
    reason = data.get("reasoning", "")
    return _checked(Numbers(_values(data["score"]), reason if isinstance(reason, str) else "", data), least, largest)


def _without_braces(text: str) -> Numbers:
    inner = text[text.find("[") : text.rfind("]") + 1]
    if _LIST_ALONE.fullmatch(inner):
        return Numbers(tuple(map(float, json.loads(inner))))
    if _NUMBER_ALONE.fullmatch(text) and len(text.strip()) < 4 and int(text) <= _MOST_ALONE:
        return Numbers((float(text),))
    return Numbers(())


def _values(value: Any) -> tuple[float, ...]:
    """Numbers of a list or one alone; none at all if one of them is something else."""
    values = value if isinstance(value, list) else [value]
    plain = [float(one) for one in values if type(one) in (int, float) and abs(one) < 2**53]
    return tuple(plain) if len(plain) == len(values) else ()


def _by_keys(inner: str) -> Numbers:
    """What stands behind the last key `score` of broken JSON: quotes within the reasons do not matter then."""
    keys = list(_KEY.finditer(inner))
    found = _NUMBERS.match(inner, keys[-1].end()) if keys else None
    if found is None:
        return Numbers(())
    parts = [one for one in re.split(r"[,\s]+", found[1].strip()) if one]
    values = tuple(float(one) for one in parts if _ONE.fullmatch(one))
    return Numbers(values if len(values) == len(parts) else (), _reason(inner))


def _reason(inner: str) -> str:
    """What stands between the key `reasoning` and the next `score`, without the marks around it.

    In steps, as one expression for it takes minutes over a hostile text.
    """
    key = _REASON_KEY.search(inner)
    end = _SCORE.search(inner, key.end()) if key else None
    if key is None or end is None:
        return ""
    between = _without_one("\"'", inner[key.end() : end.start()]).rstrip()
    between = _without_one("\"'", _without_one(",", between).rstrip()).lstrip()
    return (between[1:] if between[:1] in ('"', "'") else between).strip()


def _without_one(marks: str, text: str) -> str:
    return text[:-1] if text and text[-1] in marks else text


def _checked(numbers: Numbers, least: int, largest: float) -> Numbers | None:
    return numbers if len(numbers.values) >= least and _within(numbers.values, largest) else None


def _within(values: Sequence[float], largest: float) -> bool:
    return all(math.isfinite(value) and 0 <= value <= largest for value in values)
